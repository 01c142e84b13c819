import { randomBytes } from 'node:crypto'
import type { Clock, RecordStore } from 'evertoken'
import { storedSessions } from 'evertoken/session'
import { afterAll, beforeAll, describe } from 'vitest'
import { type RecordsBackend, recordsBackends } from '../support/record-backends.ts'
import { itKeepsTheSessionContract } from '../support/session-tokens-contract.ts'
import { createTestClock, type TestClock } from '../support/test-clock.ts'
import { STARTED_AT } from '../support/token-sets.ts'

const HOUR = 3_600_000
const LIFETIMES = { idleMs: 2 * HOUR, absoluteMs: 10 * HOUR }
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }

for (const { name, isMissing, start } of recordsBackends) {
  describe.skipIf(isMissing)(`sessions in ${name}${isMissing ? ' (skipped: not installed)' : ''}`, () => {
    let backend: RecordsBackend
    let processes: readonly RecordStore[]
    let time: TestClock
    /** Each test has a time of its own; connections outlast it. */
    const clock: Clock = {
      now: () => time.now(),
      wallTime: () => time.wallTime(),
      setTimer: (callback, delayMs) => time.setTimer(callback, delayMs),
    }
    beforeAll(async () => {
      backend = await start()
      // SQLite refuses to be written to by two connections at once.
      const connections = name.includes('SQLite') ? [0] : [0, 1]
      processes = await Promise.all(connections.map(() => backend.open({ encryption, clock })))
    })
    afterAll(() => backend?.stop())

    itKeepsTheSessionContract(() => {
      time = createTestClock(STARTED_AT)
      const sessions = processes.map((records) => storedSessions(records, { ...LIFETIMES, clock }))
      const [first, last] = [sessions.at(0), sessions.at(-1)]
      if (first === undefined || last === undefined) throw new Error('expected records, got none')
      return {
        create: () => first.create(),
        // The user's next request meets another process.
        next: ({ id }) => last.open(id),
        advance: (ms) => time.advance(ms),
        ...LIFETIMES,
      }
    })
  })
}
