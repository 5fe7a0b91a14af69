name = "fault-cdf-btrfs-reflink-icount-around-off"
title = "Fault latency by class, mode reflink, fault-around off"
subtitle = "Linux 6.12.117, btrfs, synthetic:files=2,bytes=8M, lane icount (guest instructions), 1 boot"
xlabel = "guest instructions"
ylabel = "share of events"
xformat = "%.0s%c"
yformat = "%g"
ylog = 0
groups = 0
series = 16
array label[16]
array colour[16]
array kind[16]
label[1] = "base, cold-major"
colour[1] = 1
kind[1] = 1
label[2] = "base, cold-readahead"
colour[2] = 2
kind[2] = 1
label[3] = "base, first-touch"
colour[3] = 3
kind[3] = 1
label[4] = "base, first-touch-readahead"
colour[4] = 4
kind[4] = 1
label[5] = "base, resident-minor"
colour[5] = 5
kind[5] = 1
label[6] = "base, pte-only"
colour[6] = 6
kind[6] = 1
label[7] = "base, private-store"
colour[7] = 7
kind[7] = 1
label[8] = "base, private-break"
colour[8] = 8
kind[8] = 1
label[9] = "shcache-6.12, cold-major"
colour[9] = 1
kind[9] = 2
label[10] = "shcache-6.12, cold-readahead"
colour[10] = 2
kind[10] = 2
label[11] = "shcache-6.12, first-touch"
colour[11] = 3
kind[11] = 2
label[12] = "shcache-6.12, first-touch-readahead"
colour[12] = 4
kind[12] = 2
label[13] = "shcache-6.12, resident-minor"
colour[13] = 5
kind[13] = 2
label[14] = "shcache-6.12, pte-only"
colour[14] = 6
kind[14] = 2
label[15] = "shcache-6.12, private-store"
colour[15] = 7
kind[15] = 2
label[16] = "shcache-6.12, private-break"
colour[16] = 8
kind[16] = 2
valuescale = 1
xmin = 1639
xmax = 18011404
ymin = 0
ymax = 1
ticks = 0

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
