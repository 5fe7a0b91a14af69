# Groups of bars, one bar for each series; a thin line shows the extremes over boots where they differ. Few bars have their value
# written on them. ylog: logarithmic.

set style fill solid 0.9
# Each group has as many places as there are series.
wide = 0.84 / series
at(g, no) = g + (no - (series + 1) / 2.0) * wide
bars = groups * series
set xrange [0.45:groups + 0.55]
set xtics scale 0 font ",10" ()
do for [g = 1:groups] { set xtics add (group[g] g) }
if (groups > 8) {
	set xtics rotate by -30 left
	set bmargin 8
}
if (ylog) {
	set logscale y
	set yrange [10 ** floor(log10(ymin) - 0.3):ymax * 2.5]
} else {
	set yrange [0:ymax * 1.14]
}
# Marks at tenths of a second would all say "1 s".
if (!ylog && ymax >= 1 && ymax < 10 && strstrt(yformat, "cs") > 0) {
	set format y "%.1f s"
}
# A second kernel's bars are lighter.
fill(i) = kind[i] == 1 ? 0.95 : 0.95 / (1.6 * kind[i] - 1)
show(v) = bars > 60 ? "" : sprintf(v >= 1e6 ? "%.3gM" : v >= 1e4 ? "%.0fk" : v >= 100 ? "%.0f" : "%.3g", v >= 1e6 ? v / 1e6 : v >= 1e4 ? v / 1e3 : v)

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = 1:series] data skip 1 using ($1 == i ? at($3, i) : NaN):5:(wide * 0.94) with boxes fs solid fill(i) \
		     border lc rgb rgb(i) lc rgb rgb(i) title label[i], \
	     for [i = 1:series] data skip 1 using ($1 == i && $7 > $6 ? at($3, i) : NaN):6:(0):($7 - $6) with vectors nohead lw 1.5 \
		     lc rgb "#303030" notitle, \
	     for [i = 1:series] data skip 1 using ($1 == i ? at($3, i) : NaN):($7 > $5 ? $7 : $5):(show($5 / valuescale)) with labels \
		     rotate left offset 0, 0.4 font ",9" tc rgb "#303030" notitle
}
set output
