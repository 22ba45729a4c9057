// pino with pino-loki: sends a batch once and forgets it.
'use strict'
const pino = require('pino')
const { pinoLoki } = require('pino-loki')
const { lines, timestamp, sendParts, finish, url } = require('./parts')

// What is acknowledged is known here only: pino-loki prints that a push failed, not what was in it.
const send = globalThis.fetch
const acknowledged = new Set()
globalThis.fetch = async (target, request) => {
  const answer = await send(target, request)
  if (answer.ok) {
    for (const stream of JSON.parse(request.body).streams) {
      for (const [, line] of stream.values) acknowledged.add(JSON.parse(line).n)
    }
  }
  return answer
}

const transport = pinoLoki({
  host: url,
  labels: { app: 'pino' },
  batching: { interval: 0.1, maxBufferSize: 0 } // seconds; lines, 0 is no bound
})
let now
const options = { base: { hostname: 'host' }, timestamp: () => `,"time":${timestamp(now)}` }
const logger = pino(options, transport)

sendParts(n => {
  now = n
  logger.info({ n }, lines[n])
}).then(() => {
  transport.on('close', () => finish(lines.map((_, n) => n).filter(n => !acknowledged.has(n))))
  transport.end()
})
