"""The style sheet of the report: light and dark, wide and narrow, in colour and in grey.

The series colours are Okabe and Ito's, which colour-blind people can tell apart, darkened or brightened
for contrast with the page.
"""

STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --card: #f6f7f8; --ink: #1c2026; --soft: #59616b; --rule: #dde1e6; --alarm: #a33a00;
  --alarm-page: #fdf0e7;
  --c0: #0072b2; --c1: #c44f00; --c2: #00805e; --c3: #a84f83; --c4: #8a6d00; --c5: #4d5a68; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --card: #1d2126; --ink: #e8eaed; --soft: #a3abb5; --rule: #343a42; --alarm: #ffb07a;
  --alarm-page: #33241a;
  --c0: #58b4e9; --c1: #f08a3c; --c2: #2fc79a; --c3: #e59cc6; --c4: #e0c341; --c5: #b3bdc9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1560px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0 0 .5rem; }
h3.agent-texts { margin-top: 1.6rem; }
p { max-width: 48rem; margin: .4rem 0 .8rem; }
.soft, figcaption, caption { color: var(--soft); }
.small { font-size: .86rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .45rem .5rem; border-bottom: 1px solid var(--rule); vertical-align: middle; }
th { font-weight: 600; font-size: .9rem; vertical-align: bottom; }
thead tr:first-child th { border-bottom: 0; color: var(--soft); font-weight: 500; padding-bottom: 0; }
td.score, td.meta { white-space: nowrap; }
td.score b { font-size: 1.02rem; }
td.score small, td.meta small { color: var(--soft); font-size: .8rem; }
td.score small { display: block; }
thead th[colspan] { white-space: nowrap; }
td.plotted { padding-left: .2rem; }
td.plotted > div { display: flex; align-items: center; gap: .5rem; }
.tall { max-height: 44rem; overflow-y: auto; }
.tall thead th { position: sticky; top: 0; background: var(--page); z-index: 2; }
.tall thead th:first-child { z-index: 3; }
table.board td:nth-child(2) { position: sticky; left: 0; background: var(--page); z-index: 1; }
table.board th:first-child, table.board td:first-child { position: static; }
table.tasks td { padding: .25rem .5rem; }
table.tasks th .agent { white-space: nowrap; }
td.shaded { background: color-mix(in srgb, var(--c0) var(--share), var(--page)); }
td.shaded small { color: inherit; opacity: .85; }
table.tasks a { color: inherit; text-decoration-color: var(--soft); }
details.task { border-bottom: 1px solid var(--rule); margin: 0; padding: .35rem 0; }
details.task > summary b { color: var(--ink); }
details.task > .grid { margin: .6rem 0; }
ul.small { padding-left: 1.2rem; }
tr.line td { color: var(--soft); border-bottom: 0; padding-top: .25rem; padding-bottom: .25rem; }
tr.line:first-of-type td { padding-top: .6rem; }
table.headline th:first-child, table.headline td:first-child { position: sticky; left: 0; background: var(--page);
  z-index: 1; }
.agent { white-space: nowrap; font-weight: 600; }
.agent svg { vertical-align: -3px; margin-right: .35rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; background: var(--card); border-radius: 10px; padding: .9rem 1rem; min-width: 0; }
figure svg.chart { width: 100%; height: auto; display: block; }
figcaption { font-size: .86rem; margin-top: .3rem; }
.texts { width: 100%; font-size: .92rem; }
.texts td, .texts th { padding: .3rem .5rem; }
.texts td:nth-child(-n+2) { overflow-wrap: anywhere; }
.texts td.value { white-space: nowrap; width: 6.4rem; }
.texts .prompt { color: var(--soft); }
.texts i { color: var(--soft); }
.meter { display: inline-block; width: 2.6rem; height: .5rem; background: var(--rule); border-radius: 2px;
  margin-right: .4rem; overflow: hidden; }
.meter span { display: block; height: 100%; background: var(--soft); }
tr.hacked { background: var(--alarm-page); }
.alarm { color: var(--alarm); font-weight: 600; }
td.score small.alarm { color: var(--alarm); }
details { margin: .7rem 0; }
summary { cursor: pointer; color: var(--soft); }
pre { background: var(--card); padding: .8rem 1rem; border-radius: 8px; overflow-x: auto; font-size: .82rem;
  line-height: 1.4; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: .6rem 0; max-width: 60rem; }
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .6rem; }
  main { padding: 1.2rem .8rem 3rem; }
  h1 { font-size: 1.5rem; } figure { padding: .7rem .5rem; } }
svg text { fill: var(--ink); font-size: 13px; } svg text.small { fill: var(--soft); font-size: 12px; }
svg text.label { font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .grid { stroke: var(--rule); stroke-width: 1; } svg .tick, svg .track { stroke: var(--rule); stroke-width: 1.5; }
svg .reference, svg .blind { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 3; }
svg .best { stroke: var(--soft); stroke-width: 1.6; }
svg .web { fill: none; stroke: var(--rule); stroke-width: 1; }
svg .leader { stroke: var(--rule); stroke-width: 1; }
svg .whisker { stroke-width: 3.2; stroke-linecap: round; opacity: .55; } svg .bar { stroke-width: 3; }
svg .curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; } svg .band { opacity: .16; stroke: none; }
.s0 { stroke: var(--c0); fill: var(--c0); } .s1 { stroke: var(--c1); fill: var(--c1); } .s2 { stroke: var(--c2);
  fill: var(--c2); }
.s3 { stroke: var(--c3); fill: var(--c3); } .s4 { stroke: var(--c4); fill: var(--c4); } .s5 { stroke: var(--c5);
  fill: var(--c5); }
svg .mark { stroke-width: 1.6; } svg .hollow { fill: var(--page); }
svg .curve.s0, svg .curve.s1, svg .curve.s2, svg .curve.s3, svg .curve.s4, svg .curve.s5 { fill: none; }
@media print { body { font-size: 12px; } figure { break-inside: avoid; } }
"""
