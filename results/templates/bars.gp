# Groups of bars, one bar for each series; a thin line shows the extremes over boots where they differ. ylog: logarithmic.

if (ylog) { set logscale y }
set style fill solid 0.85 noborder
width = 0.8 / series
at(g, no) = g + (no - (series + 1) / 2.0) * width
set xrange [0.4:groups + 0.6]
set xtics scale 0 font ",10" ()
do for [g = 1:groups] { set xtics add (group[g] g) }
if (groups > 6) { set xtics rotate by -25 left }
if (!ylog) { set yrange [0:*] }
set offsets 0, 0, graph 0.08, 0

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? at($3, i) : NaN):5:(width * 0.92) with boxes lc rgb rgb(i) \
		     fs solid (kind[i] == 1 ? 0.9 : 0.9 / kind[i]) border lc rgb rgb(i) title label[i], \
	     for [i = 1:series] data skip 1 using ($1 == i && $7 > $6 ? at($3, i) : NaN):5:6:7 with yerrorbars pt -1 lw 1.2 \
		     lc rgb "#202020" notitle
}
set output
