# A power curve: in how many runs, in percent, a change of this size was found. Thin lines: the interval of that share. delta: the smallest
# relevant change.

set grid xtics ytics lt 1 lw 1 lc rgb "#d9d9d9"
set xrange [-0.03 * xmax:1.06 * xmax]
set yrange [-4:104]
set ytics 0, 20, 100
set xtics ()
do for [k = 1:ticks] { set xtics add (tick[k] tickat[k]) }
set bmargin 5.5
set xlabel offset 0,-1
set arrow 1 from delta, graph 0 to delta, graph 1 nohead dt 2 lw 1.4 lc rgb "#404040"

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with lines lw width(i) dt dash(i) lc rgb rgb(i) notitle, \
	     for [i = 1:series] data skip 1 using ($1 == i && $7 > $6 ? $3 : NaN):6:(0):($7 - $6) with vectors nohead lw 1 \
		     lc rgb rgb(i) notitle, \
	     for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with points pt point(i) ps 1.4 - 0.4 * (i - 1) lw 1.5 lc rgb rgb(i) \
		     notitle, \
	     for [i = 1:series] keyentry with linespoints lw width(i) dt dash(i) pt point(i) ps 1.2 lc rgb rgb(i) title label[i]
}
set output
