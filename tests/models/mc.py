#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tiny exhaustive interleaving explorer (run models.py and models2.py).  Threads are straight-line predicated programs over a shared memory.
Memory modes: SC, TSO (W->R reorder), ARM (other-multi-copy-atomic: any po-pair may swap unless ordered by
fence / acquire / release / data|ctrl(->W) dependency / same location).  A store is visible to all when executed."""
import atexit, os, sys
from collections import namedtuple
Op = namedtuple('Op', 'name kind loc fn deps')   # kind: R W RMW LOCK UNLOCK MB NOP ; deps: names of ops this one depends on (data/ctrl)

# TAP: one test for each question with an expected answer; an answer that was not expected fails the script.
count, failed = [0], []
def finish():
    print(f'1..{count[0]}')
    sys.stdout.flush()
    if failed: os._exit(1)
atexit.register(finish)

def R(name, loc, reg, deps=()):
    def fn(m, r): r[reg] = m[loc]; return True
    return Op(name, 'R', loc, fn, tuple(deps))
def W(name, loc, val, deps=(), pred=None):
    def fn(m, r):
        if pred is None or pred(r): m[loc] = val(r) if callable(val) else val
        return True
    return Op(name, 'W', loc, fn, tuple(deps))
def RMW(name, loc, f, deps=(), pred=None):      # relaxed atomic rmw f(m,r)
    def fn(m, r):
        if pred is None or pred(r): f(m, r)
        return True
    return Op(name, 'RMW', loc, fn, tuple(deps))
def LOCK(name, loc, deps=(), pred=None, free=lambda v: v == 0, take=lambda v: 1):
    def fn(m, r):
        if pred is not None and not pred(r): return True
        if not free(m[loc]): return False
        m[loc] = take(m[loc]); return True
    return Op(name, 'LOCK', loc, fn, tuple(deps))
def UNLOCK(name, loc, deps=(), pred=None, rel=lambda v: 0):
    def fn(m, r):
        if pred is None or pred(r): m[loc] = rel(m[loc])
        return True
    return Op(name, 'UNLOCK', loc, fn, tuple(deps))
def MB(name): return Op(name, 'MB', None, lambda m, r: True, ())
# rwsem: value 0 free, -1 writer, n>0 readers
def DOWN_R(n, l, **k): return LOCK(n, l, free=lambda v: v >= 0, take=lambda v: v + 1, **k)
def UP_R(n, l, **k):   return UNLOCK(n, l, rel=lambda v: v - 1, **k)
def DOWN_W(n, l, **k): return LOCK(n, l, free=lambda v: v == 0, take=lambda v: -1, **k)
def UP_W(n, l, **k):   return UNLOCK(n, l, rel=lambda v: 0, **k)

def order(prog, mode):
    """for each op: bitmask of earlier ops that must have executed"""
    idx = {o.name: i for i, o in enumerate(prog)}
    assert len(idx) == len(prog)
    res = []
    for j, b in enumerate(prog):
        mask = 0
        for i in range(j):
            a = prog[i]
            if mode == 'SC': need = True
            else:
                need = False
                if a.kind == 'MB' or b.kind == 'MB': need = True
                elif a.loc is not None and a.loc == b.loc: need = True
                elif a.name in b.deps: need = True
                elif a.kind == 'LOCK': need = True            # acquire
                elif b.kind == 'UNLOCK': need = True          # release
                elif mode == 'ARM' and a.kind == 'UNLOCK' and b.kind == 'LOCK': need = True   # [L];po;[A]
                elif mode == 'TSO':
                    if a.kind == 'RMW' or b.kind in ('RMW', 'LOCK'): need = True
                    elif a.kind in ('W', 'UNLOCK') and b.kind == 'R': need = False
                    else: need = True
            if need: mask |= 1 << i
        for d in b.deps: assert d in idx and idx[d] < j, (b.name, d)
        res.append(mask)
    return res

def explore(title, mem0, progs, inv=None, final=None, modes=('SC', 'TSO', 'ARM'), expect=None, show=True):
    out = {}
    for mode in modes:
        keys = sorted(mem0); ords = [order(p, mode) for p in progs]
        full = [(1 << len(p)) - 1 for p in progs]
        init = (tuple(mem0[k] for k in keys), tuple((0, ()) for _ in progs))
        seen = {init: None}; stack = [init]; bad = None; nfin = 0; dead = 0
        while stack and bad is None:
            st = stack.pop(); memt, ths = st
            m0 = dict(zip(keys, memt)); any_en = False; alldone = True
            for t, (done, regs) in enumerate(ths):
                if done != full[t]: alldone = False
                for j, o in enumerate(progs[t]):
                    if done >> j & 1 or (ords[t][j] & ~done): continue
                    m = dict(m0); r = dict(regs)
                    if not o.fn(m, r): continue
                    any_en = True
                    nt = list(ths); nt[t] = (done | 1 << j, tuple(sorted(r.items())))
                    ns = (tuple(m[k] for k in keys), tuple(nt))
                    if ns not in seen:
                        seen[ns] = (st, t, o.name); stack.append(ns)
                        if inv and not inv(m): bad = ns
            if alldone:
                nfin += 1
                if final and not final(m0): bad = st
            elif not any_en:
                dead += 1; bad = st
        out[mode] = 'VIOLATION' if bad is not None and not dead else ('DEADLOCK' if dead else 'ok')
        if bad is not None and show:
            tr = []; s = bad
            while seen[s] is not None:
                p, t, n = seen[s]; tr.append(f'T{t}:{n}'); s = p
            out[mode + '_trace'] = ' '.join(reversed(tr))
        out[mode + '_states'] = len(seen)
    verdict = ' '.join(f"{k}={out[k]}({out[k+'_states']})" for k in modes)
    flag = ''
    if expect is not None:
        got = 'ok' if all(out[k] == 'ok' for k in modes) else 'bad'
        flag = '' if got == expect else '   <<<<<<<< UNEXPECTED'
        count[0] += 1
        if got != expect: failed.append(title)
        print(f"{'ok' if got == expect else 'not ok'} {count[0]} - {title}")
    print(f'{title:78s} {verdict}{flag}')
    if show:
        for k in modes:
            if k + '_trace' in out: print(f'      {k}: {out[k+"_trace"]}'); break
    sys.stdout.flush()
    return out
