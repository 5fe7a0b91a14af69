# Cumulative distributions over a logarithmic axis: the share of all events that took at most so long.

set logscale x
set grid xtics ytics lt 1 lw 1 lc rgb "#d9d9d9"
set yrange [0:1.02]
set format x xformat
set xrange [xmin / 1.1:xmax * 1.1]

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with steps lw 2 dt dash(i) lc rgb rgb(i) title label[i]
}
set output
