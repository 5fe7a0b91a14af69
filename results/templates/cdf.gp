# Cumulative distributions over a logarithmic axis: the share of all events that took at most so long.

set logscale x
set grid xtics ytics lw 0.6 lc rgb "#dddddd"
set yrange [0:1.02]
set format x xformat

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? $3 : NaN):5 with steps lw (kind[i] == 1 ? 2 : 1.4) dt kind[i]+0 lc rgb rgb(i) \
		     title label[i]
}
set output
