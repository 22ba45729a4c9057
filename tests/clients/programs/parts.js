// The parts of a run: sends one, says so, waits until it is told to go on. What is restarted
// meanwhile is the test's business.
'use strict'
const fs = require('node:fs')
const readline = require('node:readline')

/** The lines to send, and of each part the first and the one after its last. */
const { lines, parts } = JSON.parse(fs.readFileSync(process.env.RECORDS, 'utf8'))

/** Timestamp of line `n`, milliseconds. */
const timestamp = n => Number(process.env.START_MS) + n

/** `send(n)` for every line; between parts it says `sent` and waits for `go`. */
async function sendParts (send) {
  const words = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  for (const [from, to] of parts) {
    const word = await words.next()
    if (word.done) process.exit(2)
    for (let n = from; n < to; n++) {
      await send(n)
      // A program that logs also does other things: timers and sockets get their turn.
      if (n % 50 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    console.log('sent')
  }
}

/** The end: which lines were not acknowledged. */
function finish (lost) {
  console.log('lost ' + JSON.stringify(lost))
  process.exit(0)
}

module.exports = { lines, timestamp, sendParts, finish, url: process.env.RUNELOG_URL }
