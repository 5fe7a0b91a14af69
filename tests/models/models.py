# SPDX-License-Identifier: GPL-2.0
"""Install protocols, fork, mremap, migration, forget_range, doom marks of mm/shcache.c.  Run: python3 models.py"""
from mc import *
S='S'
def zap(p, pmd, ptl, pte, vals=(S,'M','T')):
    """one VMA: lockless pmd read, then PTL + clear.  p = name prefix"""
    rp=p+'rp'
    return [R(p+'pmd',pmd,rp),
            LOCK(p+'ptl',ptl,deps=(p+'pmd',),pred=lambda r:r[rp]),
            R(p+'rd',pte,p+'v'),
            W(p+'clr',pte,0,deps=(p+'pmd',p+'rd'),pred=lambda r:r[rp] and r[p+'v'] in vals),
            UNLOCK(p+'ptu',ptl,deps=(p+'pmd',),pred=lambda r:r[rp])]
def fault(mb=True, chk_dead=True, chk_ip=True, install=True, lk=True):
    L=[]
    if lk: L+=[R('l_d','dead','d0'), R('l_ip','ip','i0')]
    else:  L+=[]
    if install: L+=[RMW('pmdinst','pmd',lambda m,r:m.__setitem__('pmd',1))]
    else: L+=[R('pmdrd','pmd','pm')]
    pm = (lambda r:True) if install else (lambda r:r['pm'])
    dp = ('pmdinst',) if install else ('pmdrd',)
    L+=[LOCK('ptl','ptl',deps=dp,pred=pm)]
    if mb: L+=[MB('fmb')]
    L+=[R('c_d','dead','d1'),R('c_ip','ip','i1'),R('c_pte','pte','pv')]
    def ok(r):
        return pm(r) and r['pv']==0 and (not lk or (r['d0']==0 and r['i0']==0)) and (not chk_dead or r['d1']==0) and (not chk_ip or r['i1']==0)
    L+=[W('set','pte',S,deps=('c_d','c_ip','c_pte')+(('l_d','l_ip') if lk else ()),pred=ok),
        UNLOCK('ptu','ptl',pred=pm)]
    return L
def writer(mb=True, full=True):
    L=[W('ip1','ip',1)]+([MB('wm1')] if mb else [])+zap('z1','pmd','ptl','pte')+[MB('wm1e'),W('done1','done1',1)]
    if full:
        L+=[W('dead1','dead',1)]+([MB('wm2')] if mb else [])+zap('z2','pmd','ptl','pte')+[MB('wm2e'),W('done2','done2',1),W('ip0','ip',0,deps=())]
        # the private folio can only leave i_pages after the fork change: real ordering through writeback bit + xa_lock
        L.insert(len(L)-1,MB('wm3'))
    return L
base=dict(pmd=0,ptl=0,pte=0,ip=0,dead=0,done1=0,done2=0)
inv=lambda m: not ((m['done1'] or m['done2']) and m['pte']==S)
print('== A: first-edition protocol (dead + i_pages checked under PTL), pmd initially none; R1,R2,R7')
explore('A1 full protocol',base,[fault(),writer()],inv,expect='ok')
explore('A2 no smp_mb on fault side (see J2 for the weaker models)',base,[fault(mb=False),writer()],inv)
explore('A3 no smp_mb on zap side (= truncate_pagecache today)',base,[fault(),writer(mb=False)],inv,expect='bad')
explore('A4 no dead check (R2 ABA)',base,[fault(chk_dead=False),writer()],inv,expect='bad')
explore('A5 no i_pages check (R1)',base,[fault(chk_ip=False),writer()],inv,expect='bad')
pmdT=[RMW('o_inst','pmd',lambda m,r:m.__setitem__('pmd',1))]
explore('A6 pmd installed by a third thread, fault only reads it',base,[fault(install=False),writer(full=False),pmdT],inv,expect='ok')
b=dict(base); b['pmd']=1
explore('A7 pmd present from the start',b,[fault(),writer()],inv,expect='ok')
two=fault()
explore('A8 two fault threads (same PTE)',base,[fault(lk=False),[o._replace(name='b_'+o.name,deps=tuple('b_'+d for d in o.deps)) for o in fault(lk=False)],writer(full=False)],inv,modes=('SC','ARM'),expect='ok')

print('== B: seq protocol (per-mapping zap_seq bumped inside unmap_mapping_pages after publish)')
def fault_seq(mb=True, acq=True, sample_first=True, install=True):
    s=[R('s0','seq','s0')]+([MB('acq')] if acq else [])      # smp_load_acquire, modelled as R;mb (stronger) - weaker variant below
    l=[R('l_d','dead','d0'),R('l_ip','ip','i0')]
    L=(s+l) if sample_first else (l+s)
    L+=[RMW('pmdinst','pmd',lambda m,r:m.__setitem__('pmd',1)),LOCK('ptl','ptl',deps=('pmdinst',))]
    if mb:L+=[MB('fmb')]
    L+=[R('s1','seq','s1'),R('c_pte','pte','pv'),
        W('set','pte',S,deps=('s0','s1','c_pte','l_d','l_ip'),pred=lambda r:r['pv']==0 and r['d0']==0 and r['i0']==0 and r['s0']==r['s1']),
        UNLOCK('ptu','ptl')]
    return L
def zapseq(p,mb=True,bump=True):
    L=[]
    if bump: L+=([MB(p+'mb0')] if mb else [])+[RMW(p+'inc','seq',lambda m,r:m.__setitem__('seq',m['seq']+1))]
    L+=([MB(p+'mb1')] if mb else [])
    return L+zap(p,'pmd','ptl','pte')
def writer_seq(mb=True,bump=True,full=True):
    L=[W('ip1','ip',1)]+zapseq('z1',mb,bump)+[MB('e1'),W('done1','done1',1)]
    if full: L+=[W('dead1','dead',1)]+zapseq('z2',mb,bump)+[MB('e2'),W('done2','done2',1),MB('e3'),W('ip0','ip',0)]
    return L
bs=dict(base,seq=0)
explore('B1 seq protocol, ABA writer',bs,[fault_seq(),writer_seq()],inv,expect='ok')
explore('B2 no fault-side smp_mb (see M3)',bs,[fault_seq(mb=False),writer_seq()],inv)
explore('B3 no zap-side smp_mb',bs,[fault_seq(),writer_seq(mb=False)],inv,expect='bad')
explore('B4 sample after look-up',bs,[fault_seq(sample_first=False),writer_seq()],inv,expect='bad')
explore('B5 one zap path forgets to bump',bs,[fault_seq(),writer_seq(bump=False)],inv,expect='bad')
bs1=dict(bs,pmd=1)
explore('B6 pmd present',bs1,[fault_seq(),writer_seq()],inv,expect='ok')
explore('B7 sample without acquire',bs,[fault_seq(acq=False),writer_seq()],inv,expect='bad')
def writer2(i):   # a second, independent writer that only publishes + zaps (truncate)
    return [o._replace(name='y_'+o.name,deps=tuple('y_'+d for d in o.deps)) for o in ([W('dead1','dead',1)]+zapseq('z','x')+[MB('e'),W('done2','done2',1)])]
explore('B8 seq, two concurrent writers',bs,[fault_seq(),writer_seq(full=False),writer2(0)],inv,modes=('SC','ARM'),expect='ok')

print('== C: fork.  VMA linked into i_mmap (after parent) before copy_page_range; zap walks tree order')
def fork():
    return [DOWN_W('fi','imm'),W('link','link',1),UP_W('fu','imm'),
            RMW('cpmd','pmdc',lambda m,r:m.__setitem__('pmdc',1)),LOCK('cl','ptlc',deps=('cpmd',)),LOCK('pl','ptlp'),
            R('rp','ptep','v'),W('wc','ptec',lambda r:r['v'],deps=('rp',),pred=lambda r:r['v'] in (S,'M')),
            UNLOCK('pu','ptlp'),UNLOCK('cu','ptlc')]
def zfork(first='p'):
    zp=zap('p','pmdp','ptlp','ptep'); zc=zap('c','pmdc','ptlc','ptec')
    # child VMA only visited if linked
    zc=[R('lk','link','lk')]+[o._replace(fn=(lambda f,o:(lambda m,r:True if not r.get('lk') and o.kind!='R' else f(m,r)))(o.fn,o),deps=o.deps+('lk',)) for o in zc]
    return [W('ip1','ip',1),MB('m'),DOWN_R('zi','imm')]+(zp+zc if first=='p' else zc+zp)+[UP_R('zu','imm'),MB('e'),W('done1','done1',1)]
cb=dict(imm=0,link=0,pmdp=1,ptlp=0,ptep=S,pmdc=0,ptlc=0,ptec=0,ip=0,done1=0)
# after zap done AND fork done no S anywhere; during: S in parent/child after done1 only if fork copies later -> must not
cinv=lambda m: not (m['done1'] and (m['ptep']==S or m['ptec']==S))
explore('C1 fork vs zap, parent before child',cb,[fork(),zfork('p')],cinv,expect='ok')
explore('C2 child visited before parent (wrong insert order)',cb,[fork(),zfork('c')],cinv,expect='bad')
def fork_nolink_first():
    f=fork(); return f[3:]+f[:3]
explore('C3 child linked after copy (wrong)',cb,[fork_nolink_first(),zfork('p')],cinv,expect='bad')
cm=dict(cb,ptep='M')
explore('C4 same with a migration entry in the parent',cm,[fork(),zfork('p')],lambda m: not (m['done1'] and (m['ptep']=='M' or m['ptec']=='M')),expect='ok')

print('== D: mremap')
def mv_pte(): # move_ptes without rmap locks
    return [RMW('npmd','pmdn',lambda m,r:m.__setitem__('pmdn',1)),LOCK('ol','ptlo'),LOCK('nl','ptln'),R('ro','pteo','v'),
            W('co','pteo',0,deps=('ro',)),W('wn','pten',lambda r:r['v'],deps=('ro',),pred=lambda r:r['v']!=0),UNLOCK('nu','ptln'),UNLOCK('ou','ptlo')]
def zmv(order='on',imm=False):
    zo=zap('o','pmdo','ptlo','pteo'); zn=zap('n','pmdn','ptln','pten')
    return [W('ip1','ip',1),MB('m'),DOWN_R('zi','imm')]+(zo+zn if order=='on' else zn+zo)+[UP_R('zu','imm'),MB('e'),W('done1','done1',1)]
db=dict(imm=0,pmdo=1,ptlo=0,pteo=S,pmdn=0,ptln=0,pten=0,ip=0,done1=0)
dinv=lambda m: not (m['done1'] and (m['pteo']==S or m['pten']==S))
explore('D1 move_ptes, no rmap lock, old VMA first',db,[mv_pte(),zmv('on')],dinv,expect='ok')
explore('D2 move_ptes, no rmap lock, new VMA first',db,[mv_pte(),zmv('no')],dinv,expect='bad')
# move_normal_pmd: the page table (one pte) is reachable from pmdo or pmdn; pt content in 'pteX'
def mv_pmd(locked):
    L=[R('po','pmdo','v'),W('cl','pmdo',0,deps=('po',)),W('pp','pmdn',lambda r:r['v'],deps=('po',))]
    return ([DOWN_W('il','imm')]+L+[UP_W('iu','imm')]) if locked else L
def zap_shared_pt(p,pmd): # pte table shared object: ptlx/ptex ; re-check pmd under PTL (pte_offset_map_lock)
    rp=p+'rp'
    return [R(p+'pmd',pmd,rp),LOCK(p+'l','ptlx',deps=(p+'pmd',),pred=lambda r:r[rp]),R(p+'pmd2',pmd,p+'r2'),
            W(p+'clr','ptex',0,deps=(p+'pmd',p+'pmd2'),pred=lambda r:r[rp] and r[p+'r2']),UNLOCK(p+'u','ptlx',deps=(p+'pmd',),pred=lambda r:r[rp])]
def zpm(): return [W('ip1','ip',1),MB('m'),DOWN_R('zi','imm')]+zap_shared_pt('o','pmdo')+zap_shared_pt('n','pmdn')+[UP_R('zu','imm'),MB('e'),W('done1','done1',1)]
pb=dict(imm=0,pmdo=1,pmdn=0,ptlx=0,ptex=S,ip=0,done1=0)
explore('D3 move_normal_pmd with i_mmap write lock (6.12: need_rmap_locks=true)',pb,[mv_pmd(True),zpm()],lambda m: not(m['done1'] and m['ptex']==S),expect='ok')
explore('D4 move_normal_pmd without it',pb,[mv_pmd(False),zpm()],lambda m: not(m['done1'] and m['ptex']==S),expect='bad')

print('== E: migration / rmap completeness (R8).  PTE values: S present, M migration entry, T = dst folio')
def rmap(p,frm,to):  # one rmap walk over the shard: ref found? then F.i_mmap, PTL
    rf=p+'ref'
    return [DOWN_R(p+'sh','shard'),R(p+'ref','ref',rf),DOWN_R(p+'im','imm',deps=(p+'ref',),pred=lambda r:r[rf]),
            R(p+'pmd','pmd',p+'pm'),LOCK(p+'l','ptl',deps=(p+'ref',p+'pmd'),pred=lambda r:r[rf] and r[p+'pm']),R(p+'v','pte',p+'v'),
            W(p+'w','pte',to,deps=(p+'ref',p+'v',p+'pmd'),pred=lambda r:r[rf] and r[p+'pm'] and r[p+'v']==frm),UNLOCK(p+'u','ptl',deps=(p+'ref',p+'pmd'),pred=lambda r:r[rf] and r[p+'pm']),
            UP_R(p+'imu','imm',deps=(p+'ref',),pred=lambda r:r[rf]),UP_R(p+'shu','shard')]
def migrate(): return [LOCK('fl','flock')]+rmap('a',S,'M')+rmap('b','M','T')+[MB('me'),W('migdone','mig',1),UNLOCK('fu','flock')]
def forget(order='good',narrow=False):
    z=[W('dead1','dead',1),MB('m1'),DOWN_R('zi','imm')]+zap('z','pmd','ptl','pte')+[UP_R('zu','imm')]
    rm=[DOWN_W('sw','shard'),W('rm','ref',0),UP_W('swu','shard')]
    return (z+rm if order=='good' else rm+z)+[MB('fe'),W('fdone','done2',1)]
eb=dict(flock=0,shard=0,imm=0,ref=1,pmd=1,ptl=0,pte=S,dead=0,mig=0,done2=0)
einv=lambda m: not (m['done2'] and m['pte']!=0) and not (m['mig'] and m['pte']=='M')
explore('E1 try_to_migrate/remove_migration_ptes vs dead->zap->unlink',eb,[migrate(),forget('good')],einv,expect='ok')
explore('E2 unlink before zap (wrong)',eb,[migrate(),forget('bad')],einv,expect='bad')
def fault_ref():  # fault with folio lock held, ref live check under PTL
    return [LOCK('ql','flock'),RMW('qi','pmd',lambda m,r:m.__setitem__('pmd',1)),LOCK('qp','ptl'),MB('qm'),R('qd','dead','d'),R('qv','pte','v'),
            W('qs','pte',S,deps=('qd','qv'),pred=lambda r:r['d']==0 and r['v']==0),UNLOCK('qpu','ptl'),UNLOCK('qlu','flock')]
eb2=dict(eb,pmd=0,pte=0)
def unmap_after(): return [LOCK('fl','flock')]+rmap('a',S,0)+[MB('me'),W('migdone','mig',1),UNLOCK('fu','flock')]
explore('E3 reclaim rmap walk vs fault (folio lock) vs forget: no S left unmapped-but-present',dict(eb2,done2=0),[fault_ref(),forget('good')],lambda m: not(m['done2'] and m['pte']==S),expect='ok')
def insert_ref(order):  # ref publication: shard tree first or F tree ('fref') first; fault-around uses fref
    a=[DOWN_W('iw','shard'),W('ir','ref',1),UP_W('iwu','shard')]; b=[W('if','fref',1)]
    return a+[MB('ib')]+b if order=='shard' else b+[MB('ib')]+a
def fa(): # fault-around finds ref through fref (RCU), trylock folio, install
    return [R('xf','fref','f'),LOCK('xl','flock'),LOCK('xp','ptl'),MB('xm'),R('xd','dead','d'),W('xs','pte',S,deps=('xf','xd'),pred=lambda r:r['f'] and r['d']==0),UNLOCK('xpu','ptl'),UNLOCK('xlu','flock')]
ib=dict(flock=0,shard=0,imm=0,ref=0,fref=0,pmd=1,ptl=0,pte=0,dead=0,mig=0)
def walk_once(): return [LOCK('wl','flock'),R('pre','pte','had')]+rmap('a',S,0)+[R('post','pte','has'),W('lost','mig',1,deps=('pre','post'),pred=lambda r:r['had']==S and r['has']==S),UNLOCK('wu','flock')]
explore('E4 insert ref: shard tree first, then file tree',ib,[insert_ref('shard'),fa(),walk_once()],lambda m:m['mig']==0,expect='ok',modes=('SC',))
explore('E5 insert ref: file tree first (I2 hole: rmap misses a PTE)',ib,[insert_ref('file'),fa(),walk_once()],lambda m:m['mig']==0,expect='bad',modes=('SC',))

print('== G: forget_range as written: whole ref dropped, only the changed range zapped (2-page ref f,g; change hits f)')
def forget2(zap_g):
    z=[W('dead1','dead',1),MB('m1')]+zap('zf','pmd','ptl','ptef')+(zap('zg','pmd','ptl','pteg') if zap_g else [])
    return z+[DOWN_W('sw','shard'),W('rm','ref',0),UP_W('swu','shard'),MB('e'),W('d','done2',1)]
gb=dict(shard=0,pmd=1,ptl=0,ptef=S,pteg=S,ref=1,dead=0,done2=0)
explore('G1 zap only [first,last]',gb,[forget2(False)],final=lambda m: not(m['ref']==0 and (m['ptef']==S or m['pteg']==S)),modes=('SC',),expect='bad')
explore('G2 zap the union of dropped refs',gb,[forget2(True)],final=lambda m: not(m['ref']==0 and (m['ptef']==S or m['pteg']==S)),modes=('SC',),expect='ok')

print('== H: stale mark instead of folio_lock wait in purge-on-free')
# media: 'A' old tenant data, 'B' new tenant.  Reader (old owner) locked folio, read I/O samples the media once, then uptodate.
def reader(check=True):
    return [W('ins','slot',1), MB('r0'), R('io','media','buf'), MB('io_e'), W('upt','upt',1), MB('r1'), R('st','stale','st'),
            W('use','used',lambda r:r['buf'],deps=('io','st'),pred=lambda r:(not check) or r['st']==0)]
def freer():  # ref/extent gone -> mark stale (xa_lock) -> free -> realloc -> overwrite
    return [LOCK('xa','xa'),W('mk','stale',1),UNLOCK('xu','xa'),MB('alloc'),W('wr','media','B')]
hb=dict(slot=0,media='A',upt=0,stale=0,xa=0,used=0)
explore('H1 reader re-checks stale after uptodate: never uses tenant B data',hb,[reader(True),freer()],lambda m:m['used']!='B',expect='ok')
explore('H2 without the re-check',hb,[reader(False),freer()],lambda m:m['used']!='B',expect='bad')

# the same check made once, by the read completion under xa_lock: uptodate then implies "not doomed while reading"
def reader_endio(check=True):
    return [W('ins','slot',1), MB('r0'), R('io','media','buf'), MB('io_e'), LOCK('exa','xa'), R('st','stale','st'),
            W('upt','upt',lambda r:r['buf'],deps=('io','st'),pred=lambda r:(not check) or r['st']==0), UNLOCK('exu','xa')]
hb3=dict(slot=0,media='A',upt=0,stale=0,xa=0)
explore('H3 read completion samples the mark under xa_lock: never uptodate with B',hb3,[reader_endio(True),freer()],lambda m:m['upt']!='B',expect='ok')
explore('H4 read completion ignores the mark',hb3,[reader_endio(False),freer()],lambda m:m['upt']!='B',expect='bad')

print('== I: purge waits for the folio lock inside the transaction (I6) vs migrate_pages_batch + inodegc')
def mig_batch(): # holds S1, allocates dst for S2 -> direct reclaim -> xfs_inodegc_queue -> flush_delayed_work(gc)
    return [LOCK('S1','flock'),LOCK('flushgc','gcdone',free=lambda v:v==1,take=lambda v:1),UNLOCK('S1u','flock')]
def inodegc(wait=True):
    return ([LOCK('purgeS1','flock'),UNLOCK('purgeu','flock')] if wait else [W('mark','stale',1)])+[MB('g'),W('gc','gcdone',1)]
explore('I1 purge = folio_lock',dict(flock=0,gcdone=0,stale=0),[mig_batch(),inodegc(True)],modes=('SC',),expect='bad')
explore('I2 purge = stale mark',dict(flock=0,gcdone=0,stale=0),[mig_batch(),inodegc(False)],modes=('SC',),expect='ok')
