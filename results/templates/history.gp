# A metric over the runs of a history: one line per series, in percent of its first level. The first `named` series have had a lasting,
# relevant change: they have a colour, a place in the legend, and a mark where the level changed (marks, markat[], markcolour[]).

span = xmax - xmin
set xdata time
set timefmt "%s"
set format x xformat timedate
set xrange [xmin - 0.02 * span:xmax + 0.02 * span]
high = ymax - ymin > 0.02 ? ymax - ymin : 0.02
set yrange [ymin - 0.08 * high:ymax + 0.08 * high]
set xtics rotate by -25
# Names are long: the legend stands below.
set bmargin -1
set rmargin 4
set key outside below left vertical maxcols 2 Left reverse samplen 2 spacing 1.1 noenhanced font ",9"
do for [k = 1:marks] {
	set arrow k from markat[k], graph 0 to markat[k], graph 1 nohead dt 3 lw 1 lc rgb palette[(markcolour[k] - 1) % 8 + 1]
}

do for [t = 1:2] {
	eval t == 1 ? png : svg
	set output name.(t == 1 ? ".png" : ".svg")
	plot for [i = named + 1:series] data skip 1 using ($1 == i ? $3 : NaN):4 with lines lw 1 lc rgb "#c0c0c0" notitle, \
	     for [i = 1:named] data skip 1 using ($1 == i ? $3 : NaN):4 with linespoints lw 1.8 pt point(i) ps 0.6 lc rgb rgb(i) \
		     title label[i], \
	     named == 0 ? NaN : NaN notitle
}
set output
