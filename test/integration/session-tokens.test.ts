import { memoryRecords } from 'evertoken'
import { type CarriedSession, cookieSessions, type SessionTokens, storedSessions } from 'evertoken/session'
import { describe } from 'vitest'
import { type CookieJar, createCookieJar } from '../support/cookie-jar.ts'
import { itKeepsTheSessionContract } from '../support/session-tokens-contract.ts'
import { createTestClock } from '../support/test-clock.ts'
import { STARTED_AT } from '../support/token-sets.ts'

const HOUR = 3_600_000
const LIFETIMES = { idleMs: 2 * HOUR, absoluteMs: 10 * HOUR }

describe('sessions in a record store', () => {
  itKeepsTheSessionContract(() => {
    const clock = createTestClock(STARTED_AT)
    const sessions = storedSessions(memoryRecords({ clock }), { ...LIFETIMES, clock })
    return {
      create: () => sessions.create(),
      next: ({ id }) => sessions.open(id),
      advance: (ms) => clock.advance(ms),
      ...LIFETIMES,
    }
  })
})

describe('sessions in cookies', () => {
  itKeepsTheSessionContract(() => {
    const clock = createTestClock(STARTED_AT)
    const sessions = cookieSessions({ keys: [{ id: 'a', key: new Uint8Array(32).fill(1) }], ...LIFETIMES, clock })
    const browsers = new WeakMap<SessionTokens, CookieJar>()
    const request = async (jar: CookieJar): Promise<CarriedSession> => {
      const session = await sessions.fromRequest(jar.header)
      browsers.set(session, jar)
      return session
    }
    return {
      create: () => request(createCookieJar()),
      next(session) {
        const jar = browsers.get(session) ?? createCookieJar()
        jar.take((session as CarriedSession).setCookies)
        return request(jar)
      },
      advance: (ms) => clock.advance(ms),
      ...LIFETIMES,
    }
  })
})
