import { encryptedRecords, memoryRecords, type RecordStore } from 'evertoken'
import { type CarriedSession, cookieSessions, type SessionTokens, storedSessions } from 'evertoken/session'
import { describe, expect, it } from 'vitest'
import { type CookieJar, createCookieJar } from '../support/cookie-jar.ts'
import { rejection } from '../support/fixtures.ts'
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

describe('what stands in the place of a session that has ended', () => {
  const DAY = 24 * HOUR
  const KEYS = [1, 2].map((n) => ({ id: `key-${n}`, key: new Uint8Array(32).fill(n) }))

  it('U9 F5.10 stays as long as the session could have lasted: a machine that was asleep does not bring it back', async () => {
    const clock = createTestClock(STARTED_AT)
    const session = storedSessions(memoryRecords({ clock }), { clock }).create()
    await session.save(tokenSet())
    await session.clear()
    await session.clear()
    await clock.advance(29 * DAY)
    expect(await session.save(tokenSet({ generation: STARTED_AT + 1 }))).toBe(false)
    expect(await session.load()).toBeUndefined()
  })

  it('F6.05 is remembered as long as somebody could put back what was there', async () => {
    const clock = createTestClock(STARTED_AT)
    const inner = memoryRecords({ clock })
    const planted = new Map<string, string>()
    const written: string[] = []
    const raw: RecordStore = {
      ...inner,
      get: (key) => planted.get(key) ?? inner.get(key),
      put(key, value, write) {
        written.push(key, value)
        return inner.put(key, value, write)
      },
    }
    const records = encryptedRecords(raw, { keys: KEYS }, { clock })
    const session = storedSessions(records, { clock, idleMs: 14 * DAY }).create()
    // Without an issuer it has no names.
    await session.save(tokenSet({ issuer: undefined }))
    const [key = '', before = ''] = written
    await session.clear()
    await clock.advance(DAY + 1)
    planted.set(key, before)
    expect(await session.load()).toBeUndefined()
  })

  it('F6.06 a session of an unknown key that is newer than the clock here: nobody is told that it has ended', async () => {
    const clock = createTestClock(STARTED_AT)
    const inner = memoryRecords({ clock })
    const ahead = { ...clock, now: () => clock.now() + 2000 }
    const one = storedSessions(encryptedRecords(inner, { keys: KEYS }, { clock: ahead }), { clock: ahead })
    const other = storedSessions(encryptedRecords(inner, { keys: KEYS.slice(1) }, { clock }), { clock })
    const session = one.create()
    await session.save(tokenSet({ generation: ahead.now(), startedAt: ahead.now() }))
    await clock.advance(1000)
    const elsewhere = other.open(session.id)
    expect(await rejection(Promise.resolve(elsewhere.clear()))).toMatchObject({ code: 'session_unreadable' })
    expect(await session.load()).toBeDefined()
    await clock.advance(1000)
    await elsewhere.clear()
    expect(await session.load()).toBeUndefined()
  })

  it('F5.10 a set that is over when it is written stands in the way of older ones', async () => {
    const clock = createTestClock(STARTED_AT)
    const session = storedSessions(memoryRecords({ clock }), { clock }).create()
    await session.save(tokenSet())
    await clock.advance(60_000)
    // The server has ended the session, and says so with the refresh.
    await session.save(tokenSet({ generation: STARTED_AT + 2, sessionExpiresAt: clock.now() }))
    expect(await session.load()).toBeUndefined()
    expect(await session.save(tokenSet({ generation: STARTED_AT + 1 }))).toBe(false)
    expect(await session.load()).toBeUndefined()
  })

  it('A6.01 of an id that somebody made up next to nothing is left, and that not for long', async () => {
    const clock = createTestClock(STARTED_AT)
    const inner = memoryRecords({ clock })
    const written = new Set<string>()
    const records: RecordStore = {
      ...inner,
      put(key, value, write) {
        written.add(key)
        return inner.put(key, value, write)
      },
    }
    const sessions = storedSessions(records, { clock })
    for (let n = 0; n < 100; n++) {
      const session = sessions.open(`made-up-${n}`.padEnd(24, '-'))
      await session.clear()
      await session.clear()
    }
    expect(written.size).toBe(100)
    await clock.advance(10 * 60_000)
    const left = await Promise.all([...written].map((key) => inner.get(key)))
    expect(left.filter((text) => text !== undefined)).toEqual([])
  })

  it('N19.06 an end whose answer gets lost is one', async () => {
    const clock = createTestClock(STARTED_AT)
    const inner = memoryRecords({ clock })
    const records: RecordStore = {
      ...inner,
      async put(key, value, write) {
        await inner.put(key, value, write)
        if (value === 'ended') throw new Error('no answer')
        return true
      },
    }
    const sessions = storedSessions(records, { clock })
    await sessions.create().save(tokenSet())
    await clock.advance(1000)
    const logout = { issuer: 'https://sts.example', clientId: 'web', subject: 'alice', at: clock.now() }
    expect((await sessions.end(logout)).map(({ refreshToken }) => refreshToken)).toEqual(['refresh-1'])
  })
})
