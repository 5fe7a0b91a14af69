#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the code added to the protocol: refs that are being dropped, and reads through refs.  Run: python3 models3.py"""
from mc import *
S = 'S'
print('== R: forget_range for one page drops a ref that covers a second page too; meanwhile that page is made private')

def forget(counts):
    """unlink under file->lock, zap, and (counts) 'forgetting' over the zap"""
    up = [W('fup', 'forgetting', 1)] if counts else []
    down = [LOCK('dl', 'flock'), W('fdn', 'forgetting', 0), UNLOCK('du', 'flock')] if counts else []
    return ([LOCK('fl', 'flock'), W('unl', 'ref', 0)] + up + [UNLOCK('fu', 'flock'), MB('f1'),
            RMW('finc', 'seq', lambda m, r: m.__setitem__('seq', m['seq'] + 1)), MB('f2'),
            LOCK('fp', 'ptl'), W('fclr', 'pte', 0), UNLOCK('fpu', 'ptl'), MB('f3')] + down)

def private_added(counts):
    found = lambda r: r['rf'] or (counts and r['fg'])
    d = ('rf', 'fg')
    return [W('pub', 'ip', 1), MB('p1'), RMW('pinc', 'seq', lambda m, r: m.__setitem__('seq', m['seq'] + 1)), MB('p2'),
            LOCK('pl', 'flock'), R('rf', 'ref', 'rf'), R('fg', 'forgetting', 'fg'), UNLOCK('pu', 'flock'),
            LOCK('pp', 'ptl', deps=d, pred=found), W('pclr', 'pte', 0, deps=d, pred=found), UNLOCK('ppu', 'ptl', deps=d, pred=found),
            MB('pe'), W('done', 'done', 1)]

mapped = dict(flock=0, ref=1, forgetting=0, seq=0, ptl=0, pte=S, ip=0, done=0)
stale = lambda m: not (m['done'] and m['pte'] == S)
explore('R1 a ref that was unlinked counts until its PTEs are gone', mapped, [forget(True), private_added(True)], stale, expect='ok')
explore('R2 only linked refs count', mapped, [forget(False), private_added(False)], stale, expect='bad')

print('== S: a read through a ref, against write(2) that has returned, write-back (ends the ref) and reclaim of the private folio')
def reader(lock, rmb=False):
    ref = [R('ref', 'ref', 'ref')]
    if lock:
        ref = [LOCK('rl', 'flock')] + ref + [UNLOCK('ru', 'flock')]
    return ([R('seen', 'done', 'seen'), MB('enter'), R('ip', 'ip', 'ip')] + ([MB('rmb')] if rmb else []) + ref +
            [W('serve', 'served', lambda r: 'old' if r['seen'] and not r['ip'] and r['ref'] else 'new', deps=('seen', 'ip', 'ref'))])
def writer():
    return [W('pub', 'ip', 1), MB('w1'), W('ret', 'done', 1), MB('w2'), LOCK('wl', 'flock'), W('unl', 'ref', 0), UNLOCK('wu', 'flock'),
            MB('w3'), W('rec', 'ip', 0)]
sb = dict(done=0, ip=0, flock=0, ref=1, served='')
fresh = lambda m: m['served'] != 'old'
explore('S1 look for a private folio, then for a ref under file->lock', sb, [reader(True), writer()], final=fresh, expect='ok')
explore('S2 without the lock', sb, [reader(False), writer()], final=fresh, expect='bad')
explore('S3 without the lock, with a barrier', sb, [reader(False, True), writer()], final=fresh, expect='ok')

print('== T: a look-up that comes after a write in place (or to freed blocks) has returned, against the reaper of the old folio')
def reap(flag=True, wmb=True):
    """purge, write, then the work item: the mark is cleared with the slot, and before it"""
    leave = [W('flag', 'checked', 1)] + ([MB('wmb')] if wmb else []) if flag else []
    return ([LOCK('xl', 'xa'), W('doom', 'mark', 1), UNLOCK('xu', 'xa'), MB('ret'), W('done', 'done', 1)] + leave +
            [LOCK('rl', 'xa'), W('unmark', 'mark', 0), W('clear', 'slot', ''), UNLOCK('ru', 'xa')])
def look(flag=True, rmb=True, first=False, again=False):
    """xas_load(), folio_try_get() (a full barrier), xas_reload(), the mark, the flag"""
    mark, left = [R('mark', 'mark', 'mark')], [R('left', 'checked', 'left')] if flag else []
    test = left + [MB('rmb')] + mark if first else mark + ([MB('rmb')] if rmb else []) + left
    if again:
        test += [MB('again'), R('s3', 'slot', 's2')]
    d = tuple(o.name for o in test if o.kind == 'R')
    return ([R('seen', 'done', 'seen'), MB('enter'), R('s', 'slot', 's'), MB('get'), R('s2', 'slot', 's2')] + test +
            [W('use', 'used', lambda r: 'old' if r['seen'] and r['s'] == S and r['s2'] == S and not r['mark'] and not r.get('left') else '',
               deps=('seen', 's', 's2') + d)])
cached = dict(xa=0, mark=0, checked=0, slot=S, done=0, used='')
newer = lambda m: m['used'] != 'old'
explore('T1 the reaper leaves a flag before the mark goes; the mark, then the flag', cached, [look(), reap()], final=newer, expect='ok')
explore('T2 no flag', cached, [look(flag=False), reap(flag=False)], final=newer, expect='bad')
explore('T3 no flag, but the slot is looked at once more', cached, [look(flag=False, again=True), reap(flag=False)], final=newer, expect='bad')
explore('T4 the flag, then the mark', cached, [look(first=True), reap()], final=newer, expect='bad')
explore('T5 without the barrier of the look-up', cached, [look(rmb=False), reap()], final=newer, expect='bad')
explore('T6 without the barrier of the reaper', cached, [look(), reap(wmb=False)], final=newer, expect='bad')
