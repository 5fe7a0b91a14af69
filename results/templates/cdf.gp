# Cumulative distributions over a logarithmic axis: the share of all events that took at most so long.

set logscale x
set grid xtics ytics lt 1 lw 1 lc rgb "#d9d9d9"
set yrange [0:1.02]
set format x xformat
set xrange [xmin / 1.1:xmax * 1.1]
# Few decades: marks at 1, 2 and 5.
if (xmax / xmin < 3000) {
	set xtics ()
	do for [e = -10:12] { set xtics add (10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e) }
}

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with steps lw width(i) dt dash(i) lc rgb rgb(i) title label[i]
}
set output
