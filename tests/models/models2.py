# SPDX-License-Identifier: GPL-2.0
"""Barrier strength, AS_SHCACHE_REFS, page-table free, protocol P, population against an in-place writer.  Run: python3 models2.py"""
from mc import *
S='S'
M3=('SC','TSO','ARM','WEAK')
def zapi(p,imm='imm'):   # unmap_mapping_pages with its i_mmap rwsem (acquire on the way in, release on the way out)
    rp=p+'rp'
    return [DOWN_R(p+'dr',imm),R(p+'pmd','pmd',rp),
            LOCK(p+'ptl','ptl',deps=(p+'pmd',),pred=lambda r:r[rp]),R(p+'rd','pte',p+'v'),
            W(p+'clr','pte',0,deps=(p+'pmd',p+'rd'),pred=lambda r:r[rp] and r[p+'v']==S),
            UNLOCK(p+'ptu','ptl',deps=(p+'pmd',),pred=lambda r:r[rp]),UP_R(p+'ur',imm)]
def fault(mb,fwd=True):
    """pmd_install = pmd_lock; W pmd; unlock.  fwd: the later walk reads its own store (forwarded) => no dependency from the store"""
    L=[LOCK('pml','pml'),W('inst','pmd',1),UNLOCK('pmu','pml'),LOCK('ptl','ptl')]
    if mb: L+=[MB('fmb')]
    L+=[R('c','flag','f'),R('cp','pte','pv'),W('set','pte',S,deps=('c','cp'),pred=lambda r:r['f']==0 and r['pv']==0),UNLOCK('ptu','ptl')]
    return L
def revoke(mb,n=1):
    L=[W('pub','flag',1)]
    for i in range(n): L+=([MB(f'm{i}')] if mb else [])+zapi(f'z{i}')
    return L+[MB('e'),W('done','done',1)]
b=dict(pmd=0,pml=0,ptl=0,pte=0,flag=0,done=0,imm=0)
inv=lambda m: not (m['done'] and m['pte']==S)
print('== J: which barriers are load bearing, with the real lock operations around them')
explore('J1 both smp_mb',b,[fault(True),revoke(True)],inv,modes=M3,expect='ok')
explore('J2 no smp_mb in the fault (pmd_lock/unlock + PTL only)',b,[fault(False),revoke(True)],inv,modes=M3)
explore('J3 no smp_mb in the revoker, one unmap_mapping_pages (punch/forget style)',b,[fault(True),revoke(False,1)],inv,modes=M3)
explore('J4 no smp_mb, two unmap_mapping_pages (truncate_pagecache)',b,[fault(True),revoke(False,2)],inv,modes=M3)
explore('J5 none at all',b,[fault(False),revoke(False,1)],inv,modes=M3)
print('== K: AS_SHCACHE_REFS sampling (T3 ii)')
def inserter(inside=True,mb=True):
    z=zapi('z'); z=[o._replace(fn=(lambda f:(lambda m,r:True if not r.get('bit') and 1 and False else f(m,r)))(o.fn)) for o in z]
    def guard(o):
        f=o.fn
        def g(m,r):
            if not r.get('bit'):
                if o.kind=='R': r[o.name]=0; f(m,r); return True
                return True
            return f(m,r)
        return o._replace(fn=g,deps=o.deps+('rb',))
    z=[guard(o) for o in z]
    a=[LOCK('xl','xa'),W('ip','flag',1)]
    a+= [R('rb','bit','bit'),UNLOCK('xu','xa')] if inside else [UNLOCK('xu','xa'),R('rb','bit','bit')]
    return a+([MB('m')] if mb else [])+z+[MB('e'),W('done','done',1)]
def faultbit(fast=False):
    setb=[LOCK('bxl','xa'),W('sb','bit',1),UNLOCK('bxu','xa')]
    return setb+fault(True)
bb=dict(b,xa=0,bit=0)
explore('K1 bit sampled inside the xa_lock section',bb,[faultbit(),inserter(True)],inv,modes=M3,expect='ok')
explore('K2 bit sampled after xa_unlock (still ordered by the acquire of xa_lock)',bb,[faultbit(),inserter(False)],inv,modes=M3,expect='ok')
def fault_fast():  # sees bit already 1 and skips setting it
    f=fault(True)
    return [R('fb','bit','b0')]+[o._replace(fn=(lambda f:(lambda m,r:True if (r.get('b0')==0) else f(m,r)))(o.fn)) if o.kind!='MB' else o for o in f]
clearer=[LOCK('cl','xa'),W('cb','bit',0),UNLOCK('cu','xa')]
explore('K3 bit cleared when "no refs left" while a fault skipped setting it',dict(bb,bit=1),[fault_fast(),inserter(True),clearer],inv,modes=('SC',),expect='bad')
print('== L: pte table freed and re-installed (7.2 PT_RECLAIM; 6.12 retract) concurrently; SC only')
def Lop(name,fn): return Op(name,'R',None,fn,())
def lock_tab(reg,who):
    def fn(m,r):
        t=r[reg]
        if t==0: return True
        if m['l%d'%t]: return False
        m['l%d'%t]=1; return True
    return fn
def unlock_tab(reg):
    def fn(m,r):
        if r[reg]: m['l%d'%r[reg]]=0
        return True
    return fn
def recheck(reg):
    def fn(m,r):
        if r[reg] and m['pmd']!=r[reg]: m['l%d'%r[reg]]=0; r[reg]=0
        return True
    return fn
def f_install(m,r):
    if m['pmd']==0: m['pmd']=2 if m['used1'] else 1
    r['t']=m['pmd']; return True
def f_check(m,r): r['ok']=r['t']!=0 and m['flag']==0 and m['p%d'%r['t']]==0; return True
def f_set(m,r):
    if r['ok']: m['p%d'%r['t']]=S
    return True
faultL=[Lop('inst',f_install),Lop('lock',lock_tab('t','f')),Lop('re',recheck('t')),Lop('chk',f_check),Lop('set',f_set),Lop('unl',unlock_tab('t'))]
def z_rd(m,r): r['z']=m['pmd']; return True
def z_clr(m,r):
    if r['z']: m['p%d'%r['z']]=0
    return True
def z_retry(m,r): # pte_offset_map_lock failed -> zap_pmd_range retries the pmd: re-read
    r['zz']=m['pmd'] if r['z']==0 and m['pmd'] else 0; return True
zapL=[W('pub','flag',1),Lop('zrd',z_rd),Lop('zl',lock_tab('z','z')),Lop('zre',recheck('z')),Lop('zc',z_clr),Lop('zu',unlock_tab('z')),W('done','done',1)]
def d_rd(m,r): r['d']=m['pmd']; return True
def d_zap(m,r):
    if r['d']: m['p%d'%r['d']]=0
    return True
def d_free(m,r):
    if r['d'] and m['pmd']==r['d'] and m['p%d'%r['d']]==0: m['pmd']=0; m['used1']=1
    return True
dontneed=[Lop('drd',d_rd),Lop('dl',lock_tab('d','d')),Lop('dre',recheck('d')),Lop('dz',d_zap),Lop('df',d_free),Lop('du',unlock_tab('d'))]
lb=dict(pmd=1,used1=1,l1=0,l2=0,p1=0,p2=0,flag=0,done=0)
linv=lambda m: not (m['done'] and ((m['pmd']==1 and m['p1']==S) or (m['pmd']==2 and m['p2']==S)))
explore('L1 fault + zap + MADV_DONTNEED freeing the table',lb,[faultL,zapL,dontneed],linv,modes=('SC',),expect='ok')
lb2=dict(lb,p1=S)
explore('L2 same, table initially maps S',lb2,[faultL,zapL,dontneed],linv,modes=('SC',),expect='ok')
print('== M: the recommended protocol P, with real lock ops, the AS_SHCACHE_REFS test and all four modes')
def pfault(mb=True,acq=True,first=True,check=True):
    L=[LOCK('bxl','xa'),W('sb','bit',1),UNLOCK('bxu','xa'),MB('bmb')]
    s=[R('s0','seq','s0')]+([MB('acq')] if acq else []); l=[R('lk','flag','f')]
    L+=(s+l) if first else (l+s)
    L+=[LOCK('pml','pml'),W('inst','pmd',1),UNLOCK('pmu','pml'),LOCK('ptl','ptl')]+([MB('fmb')] if mb else [])
    L+=[R('s1','seq','s1'),R('cp','pte','pv'),
        W('set','pte',S,deps=('s0','s1','cp','lk'),pred=lambda r:r['f']==0 and r['pv']==0 and (not check or r['s0']==r['s1'])),UNLOCK('ptu','ptl')]
    return L
def pzap(p,z1=True,z2=True,cond=True):
    L=([MB(p+'Z1')] if z1 else [])
    L+=[R(p+'bt','bit',p+'b')] if cond else []
    L+=[RMW(p+'inc','seq',lambda m,r:m.__setitem__('seq',m['seq']+1),deps=((p+'bt',) if cond else ()),pred=(lambda r:r[p+'b']) if cond else None)]
    L+=([MB(p+'Z2')] if z2 else [])
    return L+zapi(p)
def prev(aba=True,**k):
    L=[W('pub','flag',1)]+pzap('x',**k)+[MB('e'),W('done','done',1)]
    return L
mb_=dict(b,xa=0,bit=0,seq=0)
explore('M1 P',mb_,[pfault(),prev()],inv,modes=M3,expect='ok')
explore('M2 P, Z1 missing',mb_,[pfault(),prev(z1=False)],inv,modes=M3,expect='bad')
explore('M3 P, fault-side smp_mb missing',mb_,[pfault(mb=False),prev()],inv,modes=M3)
explore('M4 P, Z2 missing',mb_,[pfault(),prev(z2=False)],inv,modes=M3)
explore('M5 P, no seq re-check',mb_,[pfault(check=False),prev()],inv,modes=M3,expect='bad')
# ABA: condition is undone later (private folio written back and reclaimed) -- second, different revocation flag2 must have happened before
def pfault2():
    L=pfault(); i=[o.name for o in L].index('lk')
    L.insert(i+1,R('lk2','flag2','f2'))
    j=[o.name for o in L].index('set'); o=L[j]
    L[j]=W('set','pte',S,deps=('s0','s1','cp','lk','lk2'),pred=lambda r:r['f']==0 and r['f2']==0 and r['pv']==0 and r['s0']==r['s1'])
    return L
def prev2(): return [W('pub','flag',1)]+pzap('x')+[MB('e'),W('done','done',1),W('pub2','flag2',1)]+pzap('y')+[MB('e2'),W('undo','flag',0)]
explore('M6 P, ABA: flag set+zapped, flag2 set+zapped, flag cleared again',dict(mb_,flag2=0),[pfault2(),prev2()],inv,modes=('SC','TSO','ARM'),expect='ok')
print('== N: hook skips the VMA walk when no ref overlaps (cost fix): bump first, then test refs')
def nfault():
    L=pfault(); i=[o.name for o in L].index('pml'); L[i:i]=[W('wref','ref',1)]; return L
def nhook(bump_first=True):
    L=[W('pub','flag',1),MB('n1')]
    inc=[RMW('inc','seq',lambda m,r:m.__setitem__('seq',m['seq']+1)),MB('n2')]; rr=[R('rr','ref','rf')]
    L+=(inc+rr) if bump_first=='yes' else (rr+inc) if bump_first=='no' else rr
    for o in zapi('z'):
        f=o.fn
        def g(m,r,f=f,o=o):
            if not r.get('rf'):
                if o.kind=='R': f(m,r); 
                return True
            return f(m,r)
        L.append(o._replace(fn=g,deps=o.deps+('rr',)))
    return L+[MB('e'),W('done','done',1)]
nb=dict(mb_,ref=0)
explore('N1 bump, mb, test refs',nb,[nfault(),nhook('yes')],inv,modes=M3,expect='ok')
explore('N2 test refs before the bump',nb,[nfault(),nhook('no')],inv,modes=M3)
explore('N3 test refs, bump only when a ref overlaps (no unconditional bump)',nb,[nfault(),nhook('never')],inv,modes=('SC',),expect='bad')
print('== M7/M8: AS_SHCACHE_REFS set by another fault; this fault only tests it (acquire or not), then samples seq, then looks up')
def pfault3(acq=True):
    L=[o for o in pfault() if o.name not in ('bxl','sb','bxu','bmb')]
    # bit must be 1 to go on; seq sample modelled as a true acquire of seq only: look-up may not pass s0 but the bit test may be late
    def guard(o):
        f=o.fn
        if o.kind in ('R','MB'): return o
        def g(m,r,f=f): return True if not r.get('b0') else f(m,r)
        return o._replace(fn=g, deps=o.deps+(('tb',) if o.kind=='W' else ()))
    i=[o.name for o in L].index('acq'); L.pop(i)
    L=[guard(o) for o in L]
    j=[o.name for o in L].index('lk'); L[j]=L[j]._replace(deps=L[j].deps+('s0',))      # load-acquire of seq
    for k,o in enumerate(L):
        if o.name in ('pml','inst','pmu','ptl','ptu'): L[k]=o._replace(deps=o.deps+('tb','s0'))
    return [R('tb','bit','b0')]+([MB('tba')] if acq else [])+L
setter=[LOCK('sxl','xa'),W('ssb','bit',1),UNLOCK('sxu','xa')]
explore('M7 test_bit_acquire',mb_,[pfault3(True),prev(),setter],inv,modes=('SC','ARM','WEAK'),expect='ok')
explore('M8 plain test_bit',mb_,[pfault3(False),prev(),setter],inv,modes=('SC','ARM','WEAK'),expect='bad')
print('== O: population (folio S into the shard) against an in-place buffered writer: private folio, doom scan, write, reclaim of the private folio')
def populate(order):
    ins=[LOCK('rxa','xa'),W('ins','slot',1,deps=('tst',) if order=='test_first' else (),pred=(lambda r:r['ip']==0) if order=='test_first' else None),UNLOCK('rxu','xa')]
    tst=[R('tst','ip','ip')]
    L=(tst+ins) if order=='test_first' else (ins+tst) if order=='insert_first' else ins
    ok=(lambda r:True) if order=='none' else (lambda r:r['ip']==0)
    d=() if order=='none' else ('tst',)
    return L+[MB('sub'),R('io','media','buf'),MB('ioe'),LOCK('exa','xa'),R('dm','doom','dm'),
              W('upt','upt',lambda r:r['buf'],deps=('io','dm')+d,pred=lambda r:ok(r) and r['dm']==0),UNLOCK('exu','xa')]
def inplace():
    return [W('pub','ip',1),LOCK('wxa','xa'),RMW('scan','doom',lambda m,r:m.__setitem__('doom',1 if m['slot'] else m['doom'])),UNLOCK('wxu','xa'),
            MB('w1'),W('m1','media','torn'),MB('w2'),W('m2','media','new'),MB('w3'),W('rec','ip',0),W('end','done',1)]
ob=dict(ip=0,xa=0,slot=0,doom=0,media='old',upt=0,done=0)
ofin=lambda m: m['doom'] or m['upt'] in (0,'new')
explore('O1 test i_pages, then insert S',ob,[populate('test_first'),inplace()],final=ofin,modes=M3,expect='bad')
explore('O2 insert S, then test i_pages, then submit',ob,[populate('insert_first'),inplace()],final=ofin,modes=M3,expect='ok')
explore('O3 no test at all',ob,[populate('none'),inplace()],final=ofin,modes=M3,expect='bad')
print('== Q: in-place write (doom, forget_range) against a fault that makes a ref, finds S and installs')
def qfault(order):
    ref=[LOCK('rl','rlk'),W('iref','ref',1),UNLOCK('ru','rlk')]
    lk=[R('dm','doom','dm'),MB('tryget')]
    L=[R('s0','seq','s0'),MB('acq')]+(ref+[MB('rb')]+lk if order=='ref_first' else lk+ref)+[R('tip','ip','ip')]
    return L+[LOCK('ptl','ptl'),MB('fmb'),R('s1','seq','s1'),
              W('set','pte',S,deps=('s0','s1','dm','tip'),pred=lambda r:r['dm']==0 and r['ip']==0 and r['s0']==r['s1']),UNLOCK('ptu','ptl')]
def qz(p,cond):   # bump + zap, only if a ref was collected (cond) or always
    pr=(lambda r:r['c']) if cond else None; d=('col',) if cond else ()
    return [MB(p+'Z1'),RMW(p+'inc','seq',lambda m,r:m.__setitem__('seq',m['seq']+1),deps=d,pred=pr),MB(p+'Z2'),
            LOCK(p+'pl','ptl'),W(p+'clr','pte',0,deps=d,pred=pr),UNLOCK(p+'pu','ptl'),MB(p+'e')]
def qwriter(forget,private):
    L=([W('pub','ip',1)]+qz('a',False)) if private else []
    L+=[LOCK('xl','xa'),W('doom','doom',1),UNLOCK('xu','xa')]
    if forget: L+=[LOCK('cl','rlk'),R('col','ref','c'),W('unl','ref',0,deps=('col',)),UNLOCK('cu','rlk')]+qz('b',True)
    return L+[MB('io'),W('written','done',1)]+([MB('w'),W('rec','ip',0)] if private else [])
qb=dict(seq=0,rlk=0,ref=0,doom=0,ip=0,ptl=0,pte=0,xa=0,done=0)
qfin=lambda m: m['pte']!=S
explore('Q1 direct I/O: ref first, then look S up',qb,[qfault('ref_first'),qwriter(True,False)],final=qfin,modes=M3,expect='ok')
explore('Q2 direct I/O: look S up, then make the ref',qb,[qfault('s_first'),qwriter(True,False)],final=qfin,modes=M3,expect='bad')
explore('Q3 buffered: doom without forget_range, S found before i_pages is tested',qb,[qfault('ref_first'),qwriter(False,True)],final=qfin,modes=M3,expect='bad')
explore('Q4 buffered: doom, forget_range',qb,[qfault('ref_first'),qwriter(True,True)],final=qfin,modes=M3,expect='ok')
