import { encryptedRecords, memoryRecords, type RecordStore } from 'evertoken'
import {
  createTokenSet,
  type SessionTokens,
  type StoredSessions,
  storedSessions,
  type TokenSet,
} from 'evertoken/session'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import type { TestClock } from '../support/test-clock.ts'
import { createGate, whileTimePasses } from '../support/user-fleet.ts'

const ISSUER = 'https://op.example'
const DAY = 24 * 60 * 60 * 1000

/** An ID token that nobody has to verify any more. */
function idToken(claims: Readonly<Record<string, unknown>>): string {
  return `e30.${Buffer.from(JSON.stringify({ iss: ISSUER, aud: 'web', ...claims })).toString('base64url')}.AA`
}

interface SignIn {
  readonly subject?: string
  readonly sid?: string
  readonly aud?: string | readonly string[]
  readonly scope?: string
}

/** The set of a sign-in of this moment. */
function setOf(clock: TestClock, { subject = 'alice', sid, aud = 'web', scope }: SignIn = {}): TokenSet {
  const now = clock.now()
  return createTokenSet({
    generation: now,
    client: 'web',
    subject,
    issuer: ISSUER,
    refreshToken: `refresh-${subject}-${sid}`,
    idToken: idToken({ sub: subject, sid, aud, iat: Math.floor(now / 1000) }),
    scope,
    accessTokens: [],
    startedAt: now,
  })
}

/** What a refresh without an ID token makes of a set. */
function refreshed(set: TokenSet, n: number): TokenSet {
  const { refreshToken, idToken } = set
  return createTokenSet({ ...set, generation: set.generation + n, refreshToken, idToken })
}

function logout(
  clock: TestClock,
  members: { readonly subject?: string; readonly sid?: string; readonly clientId?: string },
) {
  return { issuer: ISSUER, clientId: 'web', at: Math.floor(clock.now() / 1000) * 1000, ...members }
}

async function signIn(sessions: StoredSessions, set: TokenSet, session = sessions.create()) {
  expect(await session.save(set)).toBe(true)
  return session
}

/** What is in the records, and how often they were used. */
function watched(records: RecordStore) {
  const seen = { keys: new Set<string>(), values: new Map<string, string>(), reads: 0, writes: 0 }
  const watching: RecordStore = {
    get(key) {
      seen.reads++
      return records.get(key)
    },
    put(key, value, write) {
      seen.writes++
      seen.keys.add(key)
      seen.values.set(key, value)
      return records.put(key, value, write)
    },
    delete: (key) => records.delete(key),
  }
  return { seen, records: watching }
}

describe('N19.05 sessions by subject and sid', () => {
  test('N19.05 a sid ends its session, a subject ends all, and nobody else hears of it', async ({ clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const one = await signIn(sessions, setOf(clock, { sid: 's1' }))
    const two = await signIn(sessions, setOf(clock, { sid: 's2' }))
    const three = await signIn(sessions, setOf(clock, { sid: 's3' }))
    const other = await signIn(sessions, setOf(clock, { subject: 'bob', sid: 's4' }))
    await clock.advance(1000)
    const ended = await sessions.end(logout(clock, { sid: 's2' }))
    expect(ended.map(({ refreshToken }) => refreshToken)).toEqual(['refresh-alice-s2'])
    expect([await one.load(), await two.load(), await three.load()].map((set) => set !== undefined)).toEqual([
      true,
      false,
      true,
    ])
    const rest = await sessions.end(logout(clock, { subject: 'alice' }))
    expect(rest.map(({ refreshToken }) => refreshToken).sort()).toEqual(['refresh-alice-s1', 'refresh-alice-s3'])
    expect([await one.load(), await three.load()]).toEqual([undefined, undefined])
    expect(await other.load()).toMatchObject({ subject: 'bob' })
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toEqual([])
  })

  test.for([
    { name: 'another issuer', members: { issuer: 'https://other.example', subject: 'alice' } },
    { name: 'another client', members: { clientId: 'admin', subject: 'alice' } },
    { name: 'another client by sid', members: { clientId: 'admin', sid: 's1' } },
    { name: 'another subject', members: { subject: 'Alice' } },
    { name: 'another sid of the same subject', members: { subject: 'alice', sid: 's2' } },
    { name: 'a sid that is a subject', members: { sid: 'alice' } },
  ])('A1.13 N19.05 $name ends nothing', async ({ members }, { clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
    await clock.advance(1000)
    expect(await sessions.end({ ...logout(clock, {}), ...members })).toEqual([])
    expect(await session.load()).toMatchObject({ subject: 'alice' })
  })

  test.for([
    { name: 'its ID token is for five clients, and it is the last of them', aud: ['a', 'b', 'c', 'd', 'web'] },
    { name: 'its ID token is for another one too', aud: ['web', 'api'] },
    { name: 'there is no ID token', aud: undefined },
  ])(
    'A1.13 N19.05 a session is that of the client that signed in, and of no other: $name',
    async ({ aud }, { clock }) => {
      const sessions = storedSessions(memoryRecords({ clock }), { clock })
      const set = setOf(clock, aud && { aud })
      const idToken = aud && set.idToken
      // As a manager writes it: issuer, token endpoint and client id.
      const session = await signIn(
        sessions,
        createTokenSet({ ...refreshed(set, 0), client: JSON.stringify([ISSUER, null, 'web']), idToken }),
      )
      await clock.advance(2000)
      expect(await sessions.end(logout(clock, { clientId: 'api', subject: 'alice' }))).toEqual([])
      expect(await sessions.end(logout(clock, { clientId: 'a', subject: 'alice' }))).toEqual([])
      expect(await session.load()).toBeDefined()
      expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(1)
      expect(await session.load()).toBeUndefined()
    },
  )

  test('A1.13 another user has signed in in the same browser: the logout of the first one is not theirs', async ({
    clock,
  }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
    await clock.advance(5000)
    await signIn(sessions, setOf(clock, { subject: 'bob', sid: 's2' }), session)
    await clock.advance(5000)
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toEqual([])
    expect(await sessions.end(logout(clock, { sid: 's1' }))).toEqual([])
    expect(await session.load()).toMatchObject({ subject: 'bob' })
  })

  test.for([1000, 3 * DAY])(
    'F5.13 N19.05 a logout between the name of a new session and its first record, %i ms later: it is not kept',
    async (asleepMs, { clock }) => {
      const records = memoryRecords({ clock })
      const [named, ended] = [createGate(), createGate()]
      let puts = 0
      const slow: RecordStore = {
        ...records,
        async put(key, value, write) {
          // Two names come first.
          if (++puts === 3) {
            named.open()
            await ended.opened
          }
          return records.put(key, value, write)
        },
      }
      const session = storedSessions(slow, { clock, deadlineMs: 10 * DAY }).create()
      const set = setOf(clock, { sid: 's1' })
      const saving = session.save(set)
      await named.opened
      await clock.advance(1000)
      expect(await storedSessions(records, { clock }).end(logout(clock, { subject: 'alice' }))).toEqual([])
      await clock.advance(asleepMs)
      ended.open()
      expect(await saving).toBe(false)
      expect(await session.load()).toBeUndefined()
    },
  )

  test('F5.13 N19.05 a refresh that was under way is not kept, in whatever order it comes', async ({ clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const first = setOf(clock, { sid: 's1' })
    const session = await signIn(sessions, first)
    await clock.advance(1000)
    const refreshed = createTokenSet({
      ...first,
      generation: first.generation + 1,
      refreshToken: 'refresh-2',
      idToken: first.idToken,
    })
    const [, ended] = await Promise.all([session.save(refreshed), sessions.end(logout(clock, { sid: 's1' }))])
    expect(ended).toHaveLength(1)
    expect(await session.load()).toBeUndefined()
    for (const generation of [first.generation + 1, first.generation + 2, clock.now()]) {
      expect(await session.save(createTokenSet({ ...first, generation, idToken: first.idToken }))).toBe(false)
    }
    expect(await session.load()).toBeUndefined()
  })

  test('N19.05 a clock that is behind that of the sign-in does not keep a session from its end', async ({ clock }) => {
    const records = memoryRecords({ clock })
    const behind = { ...clock, now: () => clock.now() - 60_000 }
    const session = await signIn(storedSessions(records, { clock }), setOf(clock, { sid: 's1' }))
    const elsewhere = storedSessions(records, { clock: behind })
    expect(await elsewhere.end(logout(clock, { sid: 's1' }))).toHaveLength(1)
    expect(await session.load()).toBeUndefined()
    const again = await signIn(storedSessions(records, { clock }), setOf(clock, { sid: 's2' }))
    await elsewhere.open(again.id).clear()
    expect(await again.load()).toBeUndefined()
  })

  test('N19.05 a sign-in that the server had ended before it was kept is not kept; one after it is', async ({
    clock,
  }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const late = setOf(clock, { sid: 's1' })
    const alsoLate = setOf(clock, { sid: 's2' })
    await clock.advance(2000)
    await sessions.end(logout(clock, { sid: 's1' }))
    await sessions.end(logout(clock, { subject: 'alice' }))
    expect(await sessions.create().save(late)).toBe(false)
    expect(await sessions.create().save(alsoLate)).toBe(false)
    // In the second of the logout.
    const session = await signIn(sessions, setOf(clock, { sid: 's3' }))
    expect(await session.load()).toMatchObject({ subject: 'alice' })
  })

  test('N19.05 five hundred sign-ins of one user at once are all found', async ({ clock }) => {
    const records = memoryRecords({ clock })
    // Each call takes its turn, as over a network.
    const slow: RecordStore = {
      get: async (key) => records.get(key),
      put: async (key, value, write) => records.put(key, value, write),
      delete: async (key) => records.delete(key),
    }
    const processes = Array.from({ length: 5 }, () => storedSessions(slow, { clock }))
    const signedIn = await Promise.all(
      Array.from({ length: 500 }, (_, n) => signIn(processes[n % 5] as StoredSessions, setOf(clock, { sid: `s${n}` }))),
    )
    await clock.advance(1000)
    expect(await processes[0]?.end(logout(clock, { subject: 'alice' }))).toHaveLength(500)
    for (const session of signedIn) expect(await session.load()).toBeUndefined()
  })

  test('N19.05 one of the two names is lost: the session ends by its sid all the same', async ({ clock }) => {
    for (const lost of ['sid', 'subject'] as const) {
      const { records, seen } = watched(memoryRecords({ clock }))
      const sessions = storedSessions(records, { clock })
      const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
      const names = [...seen.values].filter(([, value]) => value.includes('"entries"')).map(([key]) => key)
      expect(names).toHaveLength(2)
      // The entry by the user names that by the session.
      const bySid = names.find((name) => [...seen.values.values()].some((value) => value.includes(`"sid":"${name}"`)))
      const [gone] = names.filter((name) => (name === bySid) === (lost === 'sid'))
      await records.delete(String(gone))
      await clock.advance(1000)
      expect(await sessions.end(logout(clock, { subject: 'alice', sid: 's1' }))).toHaveLength(1)
      expect(await session.load()).toBeUndefined()
    }
  })

  test('N19.05 all names are lost: the next refresh is not kept, and ends the session', async ({ clock }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock })
    const first = setOf(clock, { sid: 's1' })
    const session = await signIn(sessions, first)
    for (const [key, value] of seen.values) if (value.includes('"entries"')) await records.delete(key)
    await clock.advance(1000)
    expect(await sessions.end(logout(clock, { sid: 's1' }))).toEqual([])
    const next = createTokenSet({ ...first, generation: first.generation + 1, idToken: first.idToken })
    expect(await session.save(next)).toBe(false)
    expect(await session.load()).toBeUndefined()
  })

  test.for([
    { name: 'the sign-in itself tells when it was', kept: true, claims: {} },
    { name: 'only auth_time tells when it was', kept: false, claims: { auth_time: true } },
  ])(
    'N19.05 all names are lost, and the refresh brings an ID token of its own: not kept, where $name',
    async ({ kept, claims }, { clock }) => {
      const { records, seen } = watched(memoryRecords({ clock }))
      const sessions = storedSessions(records, { clock })
      const seconds = () => Math.floor(clock.now() / 1000)
      const told = { sub: 'alice', sid: 's1', ...(claims.auth_time && { auth_time: seconds() }) }
      const first = createTokenSet({
        ...setOf(clock, { sid: 's1' }),
        idToken: idToken({ ...told, iat: seconds() }),
        signedInAt: kept ? clock.now() : undefined,
      })
      const session = await signIn(sessions, first)
      for (const [key, value] of seen.values) if (value.includes('"entries"')) await records.delete(key)
      await clock.advance(5000)
      expect(await sessions.end(logout(clock, { sid: 's1' }))).toEqual([])
      await clock.advance(5000)
      const refreshed = idToken({ ...told, iat: seconds() })
      expect(
        await session.save(createTokenSet({ ...first, generation: first.generation + 1, idToken: refreshed })),
      ).toBe(false)
      expect(await session.load()).toBeUndefined()
    },
  )

  test('N19.05 what is kept for jobs stays with offline_access and ends without it', async ({ clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const job = sessions.ofSubject({ issuer: ISSUER, clientId: 'web', subject: 'alice' })
    const browser = await signIn(sessions, setOf(clock, { sid: 's1', scope: 'openid offline_access' }))
    await signIn(sessions, setOf(clock, { sid: 's1', scope: 'openid offline_access' }), job)
    await clock.advance(1000)
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(1)
    expect([await browser.load(), await job.load()]).toMatchObject([undefined, { subject: 'alice' }])
    await clock.advance(1000)
    await signIn(sessions, setOf(clock, { sid: 's2', scope: 'openid' }), job)
    await clock.advance(1000)
    expect(await sessions.end(logout(clock, { sid: 's2' }))).toHaveLength(1)
    expect(await job.load()).toBeUndefined()
  })
})

describe('the index of sessions', () => {
  test('A4 N19.05 holds hashes only: no id, no subject, no sid', async ({ clock }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock })
    const session = await signIn(sessions, setOf(clock, { subject: 'alice-in-wonderland', sid: 'the-sid' }))
    const index = [...seen.values].filter(([, value]) => value.includes('"entries"'))
    const text = JSON.stringify([[...seen.keys], index])
    for (const secret of [session.id, 'alice-in-wonderland', 'the-sid', ISSUER]) expect(text).not.toContain(secret)
  })

  test('F5.17 a sign-in costs two reads and three writes, a refresh two reads and one write, a request one read', async ({
    clock,
  }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock })
    const costs: string[] = []
    const count = async (work: () => unknown) => {
      const { reads, writes } = seen
      await work()
      costs.push(`${seen.reads - reads} ${seen.writes - writes}`)
    }
    const set = setOf(clock, { sid: 's1' })
    const session = sessions.create()
    await count(() => session.save(set))
    await count(() => sessions.create().save(setOf(clock, { sid: 's2' })))
    await count(() => session.save(refreshed(set, 1)))
    await count(() => sessions.open(session.id).load())
    expect(costs).toEqual(['2 3', '2 3', '2 1', '1 0'])
  })

  test('N19.05 is bounded: of 510 sessions of one user the oldest ten end', async ({ clock }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock })
    const all = []
    for (let n = 0; n < 510; n++) {
      all.push(await signIn(sessions, setOf(clock, { sid: `s${n}` })))
      await clock.advance(1)
    }
    const alive = await Promise.all(all.map(async (session) => (await session.load()) !== undefined))
    expect(alive.indexOf(true)).toBe(10)
    expect(alive.lastIndexOf(false)).toBe(9)
    expect(Math.max(...[...seen.values.values()].map((value) => value.length))).toBeLessThan(120_000)
  })

  test('N19.05 A6.08 sessions that have idled out do not push out one that is used every day', async ({ clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const first = setOf(clock, { sid: 'used' })
    const used = await signIn(sessions, first)
    // Each night a robot signs in 25 times in the user's name, and forgets the sessions.
    for (let day = 1; day <= 20; day++) {
      for (let n = 0; n < 25; n++) await signIn(sessions, setOf(clock, { sid: `s${day}-${n}` }))
      await clock.advance(DAY / 2)
      await signIn(sessions, refreshed(first, day), used)
      await clock.advance(DAY / 2)
    }
    await signIn(sessions, setOf(clock, { sid: 'one more' }))
    expect(await used.load()).toBeDefined()
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(2)
  })

  test('N19.05 a sign-in that began before 500 others has its name too', async ({ clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const set = setOf(clock, { sid: 'late' })
    const late = { ...refreshed(set, 0), idToken: set.idToken, startedAt: clock.now() - 5000 }
    for (let n = 0; n < 500; n++) await signIn(sessions, setOf(clock, { sid: `s${n}` }))
    const session = await signIn(sessions, createTokenSet(late))
    await clock.advance(2000)
    await sessions.end(logout(clock, { subject: 'alice' }))
    expect(await session.load()).toBeUndefined()
  })

  test('N19.05 F5.04 a process that is killed while it makes room leaves no session that nobody can find', async ({
    clock,
  }) => {
    const records = memoryRecords({ clock })
    const sessions = storedSessions(records, { clock })
    const oldest = await signIn(sessions, setOf(clock, { sid: 'oldest' }))
    for (let n = 0; n < 499; n++) {
      await clock.advance(1)
      await signIn(sessions, setOf(clock, { sid: `s${n}` }))
    }
    await clock.advance(1)
    const killed = createGate()
    let isDead = false
    const dying: RecordStore = {
      get: (key) => (isDead ? new Promise(() => {}) : records.get(key)),
      put(key, value, write) {
        if (!value.includes('"entries"')) {
          isDead = true
          killed.open()
        }
        return isDead ? new Promise(() => {}) : records.put(key, value, write)
      },
      delete: (key) => records.delete(key),
    }
    const dead = rejection(Promise.resolve(storedSessions(dying, { clock }).create().save(setOf(clock))))
    await killed.opened
    await clock.advance(2000)
    await sessions.end(logout(clock, { subject: 'alice' }))
    expect(await oldest.load()).toBeUndefined()
    await whileTimePasses(clock, dead)
  })

  test('N19.05 F6.07 where its record has no room for 500 the oldest end, and nobody is locked out', async ({
    clock,
  }) => {
    const keys = { keys: [{ id: 'one', key: new Uint8Array(32).fill(1) }] }
    const records = encryptedRecords(memoryRecords({ clock }), keys, { clock, maxLength: 65_536 })
    const sessions = storedSessions(records, { clock })
    const all: SessionTokens[] = []
    for (let n = 0; n < 400; n++) {
      await clock.advance(1000)
      all.push(await signIn(sessions, setOf(clock, { sid: `s${n}` })))
    }
    const alive = await Promise.all(all.map(async (session) => (await session.load()) !== undefined))
    expect(alive.lastIndexOf(false)).toBe(alive.indexOf(true) - 1)
    const living = alive.filter(Boolean).length
    expect(living).toBeGreaterThan(200)
    await clock.advance(2000)
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(living)
  })

  test('N19.05 forgets what is over: signed out, or older than a session can be', async ({ clock }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock, absoluteMs: 2 * DAY, idleMs: 2 * DAY })
    const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
    await session.clear()
    const entries = () =>
      [...seen.values.values()]
        .filter((value) => value.includes('"entries"'))
        .map((value) => JSON.parse(value).entries.length)
    expect(entries()).toEqual([0, 0])
    await signIn(sessions, setOf(clock, { sid: 's2' }))
    await clock.advance(2 * DAY + 1)
    await signIn(sessions, setOf(clock, { sid: 's3' }))
    // By subject only the new one; s1 is empty, s2 was not touched.
    expect(entries().sort()).toEqual([0, 1, 1, 1])
  })

  test('N19.05 F5.13 a refresh that comes after the end leaves no name behind', async ({ clock }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(records, { clock })
    const first = setOf(clock, { sid: 's1' })
    const session = await signIn(sessions, first)
    await clock.advance(1000)
    await session.clear()
    const next = createTokenSet({ ...first, generation: first.generation + 1, idToken: first.idToken })
    expect(await session.save(next)).toBe(false)
    const index = [...seen.values.values()].filter((value) => value.includes('"entries"'))
    expect(index.map((value) => JSON.parse(value).entries)).toEqual([[], []])
    // A slow write of a session that lives takes nothing from it.
    const second = setOf(clock, { sid: 's2' })
    const other = await signIn(
      sessions,
      createTokenSet({ ...second, generation: second.generation + 5, idToken: second.idToken }),
    )
    expect(await other.save(second)).toBe(false)
    await clock.advance(1000)
    expect(await sessions.end(logout(clock, { sid: 's2' }))).toHaveLength(1)
  })

  test('N19.05 what stands in its place and was not written here stays: sign-ins go beside it, and a logout ends them and is not done', async ({
    clock,
  }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    await signIn(storedSessions(records, { clock }), setOf(clock, { sid: 's1' }))
    const planted = [...seen.values].filter(([, value]) => value.includes('"entries"'))
    for (const [name, value] of planted) {
      const version = JSON.parse(value).version + 1
      expect(await records.put(name, 'no JSON', { version, expiresAt: clock.now() + DAY })).toBe(true)
    }
    const sessions = storedSessions(records, { clock })
    const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
    await clock.advance(1000)
    const error = await rejection(sessions.end(logout(clock, { sid: 's1' })))
    expect(error).toMatchObject({ name: 'StoreError', code: 'index_unreadable' })
    expect(await session.load()).toBeUndefined()
    for (const [name] of planted) expect(await records.get(name)).toBe('no JSON')
  })

  test('N19.05 a store that fails in the middle: the next logout ends the rest', async ({ clock }) => {
    const records = memoryRecords({ clock })
    let failing = false
    const failure = new Error('down')
    const failable: RecordStore = {
      get: (key) => records.get(key),
      put(key, value, write) {
        if (failing && value === 'ended') throw failure
        return records.put(key, value, write)
      },
      delete: (key) => records.delete(key),
    }
    const sessions = storedSessions(failable, { clock })
    const session = await signIn(sessions, setOf(clock, { sid: 's1' }))
    await clock.advance(1000)
    failing = true
    expect(await rejection(sessions.end(logout(clock, { subject: 'alice' })))).toBe(failure)
    failing = false
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(1)
    expect(await session.load()).toBeUndefined()
  })

  test('N19.06 a store that fails at one of three: the other two are told of, and the third at the next logout', async ({
    clock,
  }) => {
    const records = memoryRecords({ clock })
    let ends = 0
    const failable: RecordStore = {
      ...records,
      put(key, value, write) {
        if (value === 'ended' && ++ends === 2) throw new Error('down for a moment')
        return records.put(key, value, write)
      },
    }
    const sessions = storedSessions(failable, { clock })
    for (const sid of ['s1', 's2', 's3']) await signIn(sessions, setOf(clock, { sid }))
    await clock.advance(1000)
    const told: (string | undefined)[] = []
    const end = () => sessions.end(logout(clock, { subject: 'alice' }), ({ refreshToken }) => told.push(refreshToken))
    await rejection(end())
    expect(told).toHaveLength(2)
    expect(await end()).toHaveLength(1)
    expect(told.sort()).toEqual(['refresh-alice-s1', 'refresh-alice-s2', 'refresh-alice-s3'])
  })

  test('N19.05 a call to the store that hangs holds up other sign-ins of the user for half a second, and nobody else', async ({
    clock,
  }) => {
    const records = memoryRecords({ clock })
    let isHanging = true
    let asked = 0
    let hung = (): void => {}
    const bothHang = new Promise<void>((resolve) => {
      hung = resolve
    })
    const hanging: RecordStore = {
      get(key) {
        if (!isHanging) return records.get(key)
        if (++asked === 2) hung()
        return new Promise(() => {})
      },
      put: (key, value, write) => records.put(key, value, write),
      delete: (key) => records.delete(key),
    }
    const sessions = storedSessions(hanging, { clock })
    const late = rejection(Promise.resolve(sessions.create().save(setOf(clock, { sid: 's1' }))))
    await bothHang
    isHanging = false
    await signIn(sessions, setOf(clock, { subject: 'bob', sid: 's2' }))
    const waiting = signIn(sessions, setOf(clock, { sid: 's3' }))
    // Two calls and a turn.
    await clock.untilPending(3)
    await clock.advance(500)
    const session = await waiting
    await clock.advance(500)
    const elsewhere = storedSessions(records, { clock })
    expect(await elsewhere.end(logout(clock, { sid: 's3' }))).toHaveLength(1)
    expect(await session.load()).toBeUndefined()
    expect(await late).toMatchObject({ name: 'StoreError', code: 'store_timeout' })
  })

  test.for([
    { name: 'neither subject nor sid', members: {} },
    { name: 'a subject that is null', members: { subject: null } },
    { name: 'an empty subject', members: { subject: '' } },
    { name: 'an empty sid', members: { subject: 'alice', sid: '' } },
    { name: 'a sid that is a number', members: { sid: 5 } },
    { name: 'no issuer', members: { subject: 'alice', issuer: undefined } },
    { name: 'no client', members: { subject: 'alice', clientId: '' } },
    { name: 'no instant', members: { subject: 'alice', at: Number.NaN } },
  ])('A1.07 N19.05 $name: refused', async ({ members }, { clock }) => {
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const session = await signIn(sessions, setOf(clock, { subject: 'null' }))
    await clock.advance(2000)
    const error = await rejection(sessions.end({ ...logout(clock, {}), ...members } as never))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
    expect(await session.load()).toBeDefined()
  })
})

describe('N19.05 an index that a process cannot read', () => {
  test('F6.06 a logout at the process without the new key is not done, takes nothing away, and marks what it can', async ({
    clock,
  }) => {
    const { ahead, behind } = rotating(clock)
    const session = await signIn(ahead, setOf(clock, { sid: 's1' }))
    const late = setOf(clock, { sid: 's2' })
    await clock.advance(3000)
    const failed = rejection(behind.end(logout(clock, { subject: 'alice' })))
    expect(await whileTimePasses(clock, failed)).toMatchObject({ name: 'StoreError', code: 'index_unreadable' })
    expect(await session.load()).toMatchObject({ subject: 'alice' })
    expect(await whileTimePasses(clock, Promise.resolve(behind.create().save(late)))).toBe(false)
    expect(await ahead.end(logout(clock, { subject: 'alice' }))).toHaveLength(1)
    expect(await session.load()).toBeUndefined()
  })

  test('F6.06 a sign-in at the process without the new key is found, and takes nobody away, on later days too', async ({
    clock,
  }) => {
    const { ahead, behind } = rotating(clock)
    const first = await signIn(ahead, setOf(clock, { sid: 's1' }))
    await clock.advance(DAY / 2)
    await whileTimePasses(clock, signIn(behind, setOf(clock, { sid: 's2' })))
    await clock.advance(DAY / 4)
    // All keys are known here.
    expect(await ahead.end(logout(clock, { subject: 'alice' }))).toHaveLength(2)
    expect(await first.load()).toBeUndefined()
  })

  test('F6.06 sixty sign-ins of a user in turn at processes of different keys: nobody is locked out, and all are found', async ({
    clock,
  }) => {
    const inner = memoryRecords({ clock })
    const fleet = [OLD, FRESH].map((key) =>
      storedSessions(encryptedRecords(inner, { keys: [key] }, { clock }), { clock, ...PATIENT }),
    )
    const signedIn: SessionTokens[] = []
    for (let n = 0; n < 60; n++) {
      const signingIn = signIn(fleet[n % 2] as StoredSessions, setOf(clock, { sid: `s${n}` }))
      signedIn.push(await whileTimePasses(clock, signingIn, 400))
    }
    const alive = async () => (await Promise.all(signedIn.map((session) => session.load()))).filter(Boolean)
    expect(await alive()).toHaveLength(60)
    await clock.advance(2000)
    const knowing = storedSessions(encryptedRecords(inner, BOTH, { clock }), { clock })
    expect(await knowing.end(logout(clock, { subject: 'alice' }))).toHaveLength(60)
    expect(await alive()).toEqual([])
  })

  test('F6.09 names that the store has lost come back with the next sign-in, from a process that has seen them', async ({
    clock,
  }) => {
    const { records, seen } = watched(memoryRecords({ clock }))
    const sessions = storedSessions(encryptedRecords(records, BOTH, { clock }), { clock })
    const one = await signIn(sessions, setOf(clock, { sid: 's1' }))
    const [sessionKey] = [...seen.keys].slice(-1)
    for (const key of seen.keys) if (key !== sessionKey) await records.delete(key)
    await clock.advance(1000)
    const two = await signIn(sessions, setOf(clock, { sid: 's2' }))
    await clock.advance(1000)
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(2)
    expect([await one.load(), await two.load()]).toEqual([undefined, undefined])
  })

  test('N19.05 a store whose reads are a moment behind its writes loses no name', async ({ clock }) => {
    const inner = memoryRecords({ clock })
    const stale = new Map<string, string | undefined>()
    let isBehind = false
    const replica: RecordStore = { ...inner, get: (key) => (isBehind ? stale.get(key) : inner.get(key)) }
    const sessions = storedSessions(replica, { clock, ...PATIENT })
    const one = await signIn(sessions, setOf(clock, { sid: 's1' }))
    isBehind = true
    await clock.advance(50)
    const saving = signIn(sessions, setOf(clock, { sid: 's2' }))
    await clock.untilPending()
    await clock.advance(200)
    isBehind = false
    const two = await whileTimePasses(clock, saving)
    await clock.advance(5000)
    expect(await sessions.end(logout(clock, { subject: 'alice' }))).toHaveLength(2)
    expect([await one.load(), await two.load()]).toEqual([undefined, undefined])
  })

  test('N19.05 F5.02 two first sign-ins on both sides of midnight are both found', async ({ clock }) => {
    const midnight = Math.ceil(clock.now() / DAY + 1) * DAY
    await clock.advance(midnight - clock.now() + 1)
    const records = memoryRecords({ clock })
    const late = { ...clock, now: () => clock.now() - 2 }
    const [read, written] = [createGate(), createGate()]
    let reads = 0
    const slow: RecordStore = {
      ...records,
      async get(key) {
        const found = await records.get(key)
        if (++reads === 2) read.open()
        if (reads <= 2) await written.opened
        return found
      },
    }
    const saving = signIn(storedSessions(slow, { clock }), setOf(clock, { sid: 's2' }))
    await read.opened
    const one = await signIn(storedSessions(records, { clock: late }), setOf({ ...clock, ...late }, { sid: 's1' }))
    written.open()
    const two = await saving
    await clock.advance(3000)
    expect(await storedSessions(records, { clock }).end(logout(clock, { subject: 'alice' }))).toHaveLength(2)
    expect([await one.load(), await two.load()]).toEqual([undefined, undefined])
  })
})

const OLD = { id: 'old', key: new Uint8Array(32).fill(1) }
const FRESH = { id: 'new', key: new Uint8Array(32).fill(2) }
const BOTH = { keys: [FRESH, OLD] }
/** Time passes in steps here, and encryption takes real time. */
const PATIENT = { deadlineMs: 1e9 }

/** Two processes while the key changes, one of which does not have the new one yet. */
function rotating(clock: TestClock): { readonly ahead: StoredSessions; readonly behind: StoredSessions } {
  const inner = memoryRecords({ clock })
  return {
    ahead: storedSessions(encryptedRecords(inner, BOTH, { clock }), { clock, ...PATIENT }),
    behind: storedSessions(encryptedRecords(inner, { keys: [OLD] }, { clock }), { clock, ...PATIENT }),
  }
}
