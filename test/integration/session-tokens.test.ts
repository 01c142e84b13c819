import { memoryRecords } from 'evertoken'
import { type CarriedSession, cookieSessions, type SessionTokens, storedSessions } from 'evertoken/session'
import { describe, expect, it } from 'vitest'
import { type CookieJar, createCookieJar } from '../support/cookie-jar.ts'
import { itKeepsTheSessionContract } from '../support/session-tokens-contract.ts'
import { createTestClock } from '../support/test-clock.ts'
import { STARTED_AT, tokenSet } from '../support/token-sets.ts'

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

describe('A6.01 what a browser says its session is', () => {
  const world = () => {
    const clock = createTestClock(STARTED_AT)
    return { clock, sessions: storedSessions(memoryRecords({ clock }), { ...LIFETIMES, clock }) }
  }

  it('A6.01 A1.13 never opens the session of a subject, though everybody can tell its name', async () => {
    const { sessions } = world()
    const alice = sessions.ofSubject({ issuer: 'https://as.example', clientId: 'web', subject: 'alice' })
    await alice.save(tokenSet())
    const opened = sessions.open(alice.id)
    expect(opened.id).not.toBe(alice.id)
    expect(await opened.load()).toBeUndefined()
    await opened.clear()
    expect(await alice.load()).toBeDefined()
  })

  it('A6.01 a sign-in under an id that somebody made up gets another one', async () => {
    const { sessions } = world()
    const planted = 'A'.repeat(24)
    const session = sessions.open(planted)
    expect(await session.load()).toBeUndefined()
    expect(await session.save(tokenSet())).toBe(true)
    expect(session.id).not.toBe(planted)
    expect(await sessions.open(planted).load()).toBeUndefined()
    expect(await sessions.open(session.id).load()).toBeDefined()
  })

  it('A6.01 the session that was there is over, also for a process that has not heard of it', async () => {
    const { sessions, clock } = world()
    const first = sessions.create()
    await first.save(tokenSet())
    const elsewhere = sessions.open(first.id)
    await elsewhere.load()
    await clock.advance(1000)
    const again = sessions.open(first.id)
    await again.save(tokenSet({ generation: clock.now(), startedAt: clock.now() }))
    expect(await elsewhere.load()).toBeUndefined()
    expect(await elsewhere.save(tokenSet({ generation: STARTED_AT + 1 }))).toBe(false)
  })

  it.for(['x', 'abc', '["subject","https://as.example","web","alice"]', 'ü'.repeat(24), 'A'.repeat(9000)])(
    'bad input: %j is no session, and nothing is thrown',
    async (text) => {
      const session = world().sessions.open(text)
      expect(await session.load()).toBeUndefined()
      expect(session.id).not.toBe(text)
    },
  )
})

describe('A1.07 the session of a subject', () => {
  const whole = { issuer: 'https://as.example', clientId: 'web', subject: 'alice' }

  it.for([
    { name: 'no object', subject: undefined },
    { name: 'no subject', subject: { ...whole, subject: undefined } },
    { name: 'null for the subject', subject: { ...whole, subject: null } },
    { name: 'an empty subject', subject: { ...whole, subject: '' } },
    { name: 'a number for the subject', subject: { ...whole, subject: 7 } },
    { name: 'no issuer', subject: { ...whole, issuer: undefined } },
    { name: 'an empty client', subject: { ...whole, clientId: '' } },
  ])('A1.07 is nobody’s, and not everybody’s: $name is refused', ({ subject }) => {
    const sessions = storedSessions(memoryRecords())
    let error: unknown
    try {
      sessions.ofSubject(subject as never)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'subject_invalid' })
  })
})
