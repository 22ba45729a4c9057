// winston with winston-loki: keeps what could not be sent and sends it again.
'use strict'
const assert = require('node:assert')
const winston = require('winston')
const LokiTransport = require('winston-loki')
const { lines, timestamp, sendParts, finish, url } = require('./parts')

const json = process.env.FORM === 'json'
const transport = new LokiTransport({
  host: url,
  json, // otherwise protobuf and snappy
  labels: { app: json ? 'winston-json' : 'winston-protobuf' },
  format: winston.format.printf(({ message }) => message),
  interval: 0.1, // seconds between batches
  replaceTimestamp: false,
  gracefulShutdown: false, // this program closes the transport itself
  onConnectionError: error => console.error(String(error))
})
// Without its codec it would fall back to JSON and say nothing.
assert.equal(transport.batcher.contentType, json ? 'application/json' : 'application/x-protobuf')
// After an error it would wait for a minute.
transport.batcher.circuitBreakerInterval = 500
const logger = winston.createLogger({ transports: [transport] })

sendParts(n => logger.info({ message: lines[n], timestamp: timestamp(n) })).then(async () => {
  await new Promise(resolve => logger.on('finish', resolve).end())
  while (transport.batcher.batch.streams.length > 0 || transport.batcher.batchesSending > 0) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  await transport.close()
  finish([])
})
