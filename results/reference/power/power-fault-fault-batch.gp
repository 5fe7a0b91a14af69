name = "power-fault-fault-batch"
title = "power-fault: how often fault\\_batch regressed"
subtitle = "20 runs with different seeds; bars: 95 % interval of Clopper and Pearson; dashed: the smallest relevant change, 0.4 %"
xlabel = "injected change, % (guest instructions)"
ylabel = "runs, %"
xformat = "%g"
yformat = "%g"
series = 2
array label[2] = ["every row", "at least one row"]
array colour[2] = [1, 2]
array kind[2] = [1, 2]
delta = 0.4
xmax = 1.01046
ticks = 7
array tick[7]
array tickat[7]
tickat[1] = 0
tick[1] = "0.00\n(0)"
tickat[2] = 0.297195
tick[2] = "0.30\n(5)"
tickat[3] = 0.416073
tick[3] = "0.42\n(7)"
tickat[4] = 0.534951
tick[4] = "0.53\n(9)"
tickat[5] = 0.653828
tick[5] = "0.65\n(11)"
tickat[6] = 0.772706
tick[6] = "0.77\n(13)"
tickat[7] = 1.01046
tick[7] = "1.01\n(17)"

# Common look of all plots: Okabe and Ito's palette, which people with any kind of colour blindness can tell apart; a light grid, no
# frame on top and right, and the legend beside the data, never in it.
#
# Set before, by the head of the plot's own file: name, title, subtitle, xlabel, ylabel, yformat, series (how many),
# label[] (their names), colour[] and kind[] (which colour and shape, and which dash), groups (of bars, how many) and group[] (their
# names), ticks, tick[], tickat[] (marks on the x axis) and xmin, xmax, ymin, ymax.
#
# NAME.tsv, tab separated with a heading: no, series, x, group, value, low, high; low and high are the extremes over boots.

array palette[8] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#000000"]
array shape[6] = [7, 5, 9, 11, 13, 15]

data = name.".tsv"
set datafile separator tab
set encoding utf8
set border 3 lw 1 lc rgb "#404040"
set tics nomirror out textcolor rgb "#202020"
set grid ytics lt 1 lw 1 lc rgb "#d9d9d9"
# Over the whole picture: beside a long legend a title of its own width would be cut.
set label 1 title at screen 0.5, 0.965 center font ",12"
set label 2 subtitle at screen 0.5, 0.93 center font ",9"
set xlabel xlabel
set ylabel ylabel offset -0.5,0
set format y yformat
set lmargin 12
set key outside right top vertical Left reverse samplen 2.5 spacing 1.25 noenhanced
set tmargin 5
set bmargin 4.5

ideal(i) = label[i] eq "one copy"
rgb(i) = ideal(i) ? "#000000" : palette[(colour[i] - 1) % 8 + 1]
dash(i) = ideal(i) ? 2 : kind[i]
# Thick below thin, so that lines that coincide can be seen.
width(i) = 1.4 + 2.6 * (series - i) / series
# The shape goes with the colour; the first kernel's points are filled, the others' hollow.
point(i) = shape[(colour[i] - 1) % 6 + 1] - (kind[i] > 1)
# Each plot is drawn twice, once for each of these.
png = "set terminal pngcairo enhanced font 'DejaVu Sans,11' fontscale 1 size 1000,620 background rgb 'white'"
svg = "set terminal svg enhanced font 'DejaVu Sans,13' size 1000,620 background rgb 'white' dynamic"

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
