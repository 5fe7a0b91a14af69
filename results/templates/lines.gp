# Lines over a numeric axis, both logarithmic; a thin line shows the extremes over boots where they differ. A series called
# "one copy" is the ideal: black, dashed, without points.

set logscale xy
set grid xtics ytics lt 1 lw 1 lc rgb "#d9d9d9"
set xrange [xmin / 1.15:xmax * 1.15]
set yrange [ymin / 1.5:ymax * 1.5]
# Few decades: marks at 1, 2 and 5.
if (ymax / ymin < 3000) {
	set ytics ()
	do for [e = -10:12] { set ytics add (10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e) }
}
if (ticks > 0) {
	set xtics ()
	do for [k = 1:ticks] { set xtics add (tick[k] tickat[k]) }
}
size(i) = 0.9 + 0.4 * (kind[i] - 1) + 0.7 * (series - i) / series

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with lines lw width(i) dt dash(i) lc rgb rgb(i) notitle, \
	     for [i = 1:series] data skip 1 using ($1 == i && $7 > $6 ? $3 : NaN):6:(0):($7 - $6) with vectors nohead lw 1 \
		     lc rgb rgb(i) notitle, \
	     for [i = 1:series] data skip 1 using ($1 == i && !ideal(i) ? $3 : NaN):5 with points pt point(i) ps size(i) lw 1.5 \
		     lc rgb rgb(i) notitle, \
	     for [i = 1:series] keyentry with linespoints lw width(i) dt dash(i) pt (ideal(i) ? -1 : point(i)) ps size(i) lc rgb rgb(i) \
		     title label[i]
}
set output
