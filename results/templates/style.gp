# Common look of all plots: Okabe and Ito's palette, which people with any kind of colour blindness can tell apart; a light grid, no
# frame on top and right, and the legend below the data, never in it.
#
# Set before, by the head of the plot's own file: name, title, subtitle, xlabel, ylabel, yformat, series (how many), label[] (their
# names), colour[] and kind[] (which colour, and which dash and point), groups (of bars, how many) and group[] (their names).
#
# NAME.tsv, tab separated with a heading: no, series, x, group, value, low, high; low and high are the extremes over boots.

array palette[8] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
array shape[6] = [7, 6, 5, 4, 9, 8]

data = name.".tsv"
set datafile separator tab
set encoding utf8
set border 3 lw 1 lc rgb "#404040"
set tics nomirror out textcolor rgb "#202020"
set grid ytics lw 0.6 lc rgb "#dddddd"
set title title."\n{/*0.8 ".subtitle."}" offset 0,0.4
set xlabel xlabel
set ylabel ylabel offset -0.5,0
set format y yformat
set key outside below center horizontal width 1 samplen 3 spacing 1.15 noenhanced
set lmargin 12
set rmargin 4
set tmargin 4.5

rgb(i) = palette[(colour[i] - 1) % 8 + 1]
point(i) = shape[(kind[i] - 1) % 6 + 1]
# The plot is drawn twice, by the commands in `draw`.
png = "set terminal pngcairo enhanced font 'DejaVu Sans,11' fontscale 1 size 1000,620 background rgb 'white'"
svg = "set terminal svg enhanced font 'DejaVu Sans,13' size 1000,620 background rgb 'white' dynamic"
