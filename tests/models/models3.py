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
