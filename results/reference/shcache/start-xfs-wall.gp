name = "start-xfs-wall"
title = "Container start, first and later containers"
subtitle = "Linux 6.12.117, xfs, debian-slim, lane wall (tcg), 3 boots"
xlabel = ""
ylabel = "time"
xformat = ""
yformat = "%.0s %cs"
ylog = 0
groups = 3
series = 6
array label[6]
array colour[6]
array kind[6]
label[1] = "base, reflink, first"
colour[1] = 1
kind[1] = 1
label[2] = "base, reflink, later"
colour[2] = 2
kind[2] = 1
label[3] = "shcache-6.12, reflink, first"
colour[3] = 1
kind[3] = 2
label[4] = "shcache-6.12, reflink, later"
colour[4] = 2
kind[4] = 2
label[5] = "base, overlay, first"
colour[5] = 3
kind[5] = 1
label[6] = "base, overlay, later"
colour[6] = 4
kind[6] = 1
valuescale = 1
xmin = 1
xmax = 3
ymin = 0.08007926
ymax = 1.302072414
ticks = 0
array group[3]
group[1] = "python3"
group[2] = "redis"
group[3] = "nginx"

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
