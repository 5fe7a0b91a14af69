name = "copyup-xfs-icount"
title = "Overlay copy-up (open and first byte) against file size"
subtitle = "Linux 6.12.117, xfs, synthetic:files=2,bytes=1M, lane icount (guest instructions), 1 boot"
xlabel = "file size, bytes"
ylabel = "guest instructions"
xformat = ""
yformat = "%.0s%c"
ylog = 0
groups = 0
series = 8
array label[8]
array colour[8]
array kind[8]
label[1] = "base, overlay, cold upper=same"
colour[1] = 1
kind[1] = 1
label[2] = "base, overlay, warm upper=same"
colour[2] = 2
kind[2] = 1
label[3] = "shcache-6.12, overlay, cold upper=same"
colour[3] = 1
kind[3] = 2
label[4] = "shcache-6.12, overlay, warm upper=same"
colour[4] = 2
kind[4] = 2
label[5] = "base, reflink, cold upper=none"
colour[5] = 3
kind[5] = 1
label[6] = "base, reflink, warm upper=none"
colour[6] = 4
kind[6] = 1
label[7] = "shcache-6.12, reflink, cold upper=none"
colour[7] = 3
kind[7] = 2
label[8] = "shcache-6.12, reflink, warm upper=none"
colour[8] = 4
kind[8] = 2
valuescale = 1
xmin = 4096
xmax = 8388608
ymin = 39451
ymax = 584182
ticks = 4
array tick[4]
tick[1] = "4k"
tick[2] = "64k"
tick[3] = "1M"
tick[4] = "8M"
array tickat[4]
tickat[1] = 4096
tickat[2] = 65536
tickat[3] = 1048576
tickat[4] = 8388608

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
