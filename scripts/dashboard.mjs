// Writes config/monitoring/dashboard.json for Grafana, or checks it (--check), from the list of panels below.
import { readFileSync, writeFileSync } from 'node:fs'

const OUT = 'config/monitoring/dashboard.json'
const ROWS = [
  ['Health', [
    ['Nodes up', 'stat', 'none', [['sum(up{job="gpumkt"})', 'up']]],
    ['Chain heads', 'timeseries', 'none', [['gpumkt_chain_head', '{{instance}} {{name}}']]],
    ['Gas left', 'timeseries', 'none', [['gpumkt_balance_coin', '{{instance}} {{name}}']]],
    ['Restarts of services', 'timeseries', 'none', [['increase(gpumkt_service_restarts_total[15m])', '{{service}} {{code}}']]],
  ]],
  ['Provider', [
    ['Challenges', 'timeseries', 'none', [['increase(gpumkt_events_total{name="challenge"}[1h])', '{{outcome}}']]],
    ['Time of a proof', 'timeseries', 's', [[0.5, 'proof'], [0.99, 'proof']].map(([q, stage]) =>
      [`histogram_quantile(${q}, sum by (le) (rate(gpumkt_stage_seconds_bucket{name="${stage}"}[6h])))`, `p${q * 100}`])],
    ['Renters’ pauses', 'timeseries', 's', [['increase(gpumkt_stage_seconds_sum{name="pause"}[1h])', 'paused per hour']]],
    ['Rentals', 'timeseries', 'none', [['increase(gpumkt_events_total{name="tenant"}[1h])', '{{outcome}}']]],
  ]],
  ['Queen', [
    ['Receipts', 'timeseries', 'none', [['increase(gpumkt_events_total{name="receipt"}[1h])', '{{outcome}}']]],
    ['Providers’ answers', 'timeseries', 's', [['histogram_quantile(0.9, sum by (le) (rate(gpumkt_stage_seconds_bucket{name="provider_answer"}[1h])))', 'p90']]],
    ['Checking samples', 'timeseries', 's', [['rate(gpumkt_stage_seconds_sum{name="verify_samples"}[5m])', 'cores']]],
    ['Disputes', 'timeseries', 'none', [['increase(gpumkt_events_total{name="dispute"}[6h])', '{{outcome}}']]],
  ]],
  ['Bridge', [
    ['Messages by stage', 'timeseries', 'none', [['max by (origin, stage) (gpumkt_bridge_count)', '{{origin}} {{stage}}']]],
    ['Oldest waiting', 'timeseries', 's', [['gpumkt_pending_age_seconds', '{{name}}']]],
    ['Queues of the relay', 'timeseries', 'none', [['gpumkt_queue_length', '{{name}}']]],
    ['Solvency', 'timeseries', 'none', [['gpumkt_solvency_margin_token', '{{name}}']]],
    ['Cost of a message', 'timeseries', 'none', [['gpumkt_message_cost_coin', 'to {{name}}']]],
    ['Reorganisations', 'timeseries', 'none', [['gpumkt_reorg_depth_blocks', '{{name}}']]],
  ]],
  ['Network', [
    ['Peers', 'timeseries', 'none', [['sum by (instance) (gpumkt_events_total{name="net_peer",outcome="connected"}) - sum by (instance) (gpumkt_events_total{name="net_peer",outcome="disconnected"})', '{{instance}}']]],
    ['Gossip by verdict', 'timeseries', 'none', [['rate(gpumkt_events_total{name="net_gossip"}[5m])', '{{outcome}}']]],
    ['Requests', 'timeseries', 'none', [['rate(gpumkt_events_total{name="net_request"}[5m])', '{{outcome}}']]],
  ]],
]

let id = 0
let y = 0
const panels = ROWS.flatMap(([title, list]) => {
  const row = { id: ++id, type: 'row', title, collapsed: false, gridPos: { h: 1, w: 24, x: 0, y: y++ }, panels: [] }
  const rest = list.map(([name, type, unit, queries], index) => ({
    id: ++id, type, title: name, datasource: { type: 'prometheus', uid: '${source}' },
    gridPos: { h: 8, w: 8, x: (index % 3) * 8, y: y + Math.floor(index / 3) * 8 },
    fieldConfig: { defaults: { unit }, overrides: [] },
    targets: queries.map(([expr, legendFormat], query) => ({ refId: String.fromCharCode(65 + query), expr, legendFormat })),
  }))
  y += Math.ceil(list.length / 3) * 8
  return [row, ...rest]
})
const dashboard = {
  title: 'gpumkt', uid: 'gpumkt', schemaVersion: 39, version: 1, refresh: '30s', time: { from: 'now-24h', to: 'now' }, tags: ['gpumkt'],
  templating: { list: [{ name: 'source', label: 'Prometheus', type: 'datasource', query: 'prometheus' }] },
  panels,
}
const text = `${JSON.stringify(dashboard, null, 1)}\n`
if (process.argv.includes('--check')) {
  if (readFileSync(OUT, 'utf8') !== text) {
    console.error(`${OUT} is stale; run: node scripts/dashboard.mjs`)
    process.exit(1)
  }
} else {
  writeFileSync(OUT, text)
}
