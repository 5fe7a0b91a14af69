# Lines over a numeric axis, both logarithmic; a bar shows the extremes over boots where they differ. A series called
# "one copy" is the ideal: a plain dashed line.

set logscale xy
set grid xtics ytics lw 0.6 lc rgb "#dddddd"
set offsets graph 0.04, graph 0.04, graph 0.06, graph 0.06
is(i, no, v) = no == i ? v : NaN
ideal(i) = label[i] eq "one copy"
dash(i) = ideal(i) ? 2 : kind[i]

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using (is(i, $1, $3)):5 with lines lw (ideal(i) ? 2 : 1.8) \
		     dt dash(i) lc rgb (ideal(i) ? "#000000" : rgb(i)) notitle, \
	     for [i = 1:series] data skip 1 using (is(i, $1, $3)):($7 > $6 ? $5 : NaN):6:7 with yerrorbars pt -1 lw 1 lc rgb rgb(i) notitle, \
	     for [i = 1:series] data skip 1 using (is(i, $1, $3)):(ideal(i) ? NaN : $5) with points pt point(i) \
		     ps 1.0 + 0.35 * (kind[i] - 1) lw 1.4 lc rgb rgb(i) notitle, \
	     for [i = 1:series] keyentry with linespoints lw 1.8 dt dash(i) pt (ideal(i) ? -1 : point(i)) ps 1.2 \
		     lc rgb (ideal(i) ? "#000000" : rgb(i)) title label[i]
}
set output
