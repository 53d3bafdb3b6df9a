"""The report's style sheet: light and dark, wide and narrow screens, and print."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2430; --soft: #5b6675; --line: #dde2e8;
  --good: #18794e; --bad: #b42318; --note: #8a5300; --bot: #2f6fde; --other: #b7791f; --nobody: #c3cad3;
  --say: #eef3fb; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2029; --text: #e6eaf0; --soft: #9aa6b5;
  --line: #2c3542; --good: #4cc38a; --bad: #ff8a7a; --note: #e0ac5a; --bot: #6ea0ff; --other: #e0ac5a;
  --nobody: #485362; --say: #222c3a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
header { padding-bottom: 0; } main { padding-top: 0; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 1.5rem 0 0; } h3 { font-size: .95rem; margin: 0; }
h3, time { font-family: ui-monospace, monospace; }
p { margin: .3rem 0; } small { color: var(--soft); font-weight: normal; }
.verdict { font-size: 1.1rem; font-weight: 600; } .good { color: var(--good); } .bad, .wrong { color: var(--bad); }
.lane { background: var(--card); color: var(--text); border: 1px solid var(--line); border-radius: .5rem;
  margin: .75rem 0; padding: .75rem 1rem; overflow-wrap: anywhere; }
.lane.bad { border-color: var(--bad); }
.badge { border: 1px solid; border-radius: 1rem; padding: 0 .6rem; font: 600 .8rem system-ui, sans-serif; }
ul { margin: .3rem 0; padding-left: 1.2rem; } .duties { color: var(--soft); } .duties:empty { display: none; }
.owed { color: var(--bad); } .diverged { color: var(--note); }
summary { cursor: pointer; } summary h3 { display: inline; } .contents a { color: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; color: var(--soft); }
.legend i { display: inline-block; width: .9rem; height: .9rem; margin-right: .4rem; border-radius: .2rem;
  vertical-align: -.1rem; }
table { width: 100%; border-collapse: collapse; margin-top: .5rem; }
th { text-align: left; color: var(--soft); font-weight: normal; font-size: .8rem; }
td { padding: .12rem .6rem .12rem 0; vertical-align: top; } td:first-child { white-space: nowrap; width: 7.5rem; }
time { color: var(--soft); font-size: .8rem; }
td.band, .legend i { background: var(--nobody); } td.band { width: .5rem; padding: 0; border-right: 0; }
td.band + td { padding-left: .8rem; }
td.bot, i.bot { background: var(--bot) !important; } td.other, i.other { background: var(--other) !important; }
tr.event td, tr.read td { color: var(--soft); font-size: .85rem; } tr.moved td, tr.end td { font-weight: 600; }
tr.end td:last-child { color: var(--bad); } tr.action td { font-family: ui-monospace, monospace; font-size: .85rem; }
.said { background: var(--say); border-radius: .5rem; padding: .05rem .5rem; white-space: pre-wrap; }
q::before, q::after { content: none; }
.hidden { position: absolute; clip-path: inset(50%); }
@media (max-width: 32rem) { .lane { padding: .6rem; } td:first-child { width: 4.9rem; } td { padding-right: .35rem; }
  time { font-size: .65rem; } td.band + td { padding-left: .5rem; } tr.event td { font-size: .75rem; } }
@media print { body { background: none; } .lane { break-inside: avoid; } }
"""
