import { hkdfSync } from 'node:crypto'
import { cookieSessions } from 'evertoken/session'
import { compactDecrypt } from 'jose'
import { describe, expect, it } from 'vitest'
import { browserWith, cookieWorld, found, KEY } from '../support/carried-sessions.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { rejection } from '../support/fixtures.ts'
import { contentOf, STARTED_AT, tokenSet } from '../support/token-sets.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NAME = '__Host-session'

const sized = (characters: number, members = {}) =>
  tokenSet({ claims: { padding: 'x'.repeat(characters) }, ...members })

/** What the browser sends back, in bytes. */
function sentBytes(lines: readonly string[]): number {
  const jar = createCookieJar()
  jar.take(lines)
  return jar.header.length
}

/** The lines of a set whose cookies have so many bytes, or a few less: three characters become four. */
async function linesOfSize(bytes: number, options = {}): Promise<readonly string[]> {
  const { sessions } = cookieWorld(options)
  const sizeWith = async (characters: number): Promise<readonly string[]> => {
    const session = await sessions.fromRequest(undefined)
    await session.save(sized(characters))
    return session.setCookies
  }
  let characters = Math.floor(((bytes - sentBytes(await sizeWith(0))) * 3) / 4) - 120
  let best = await sizeWith(characters)
  for (;;) {
    const next = await sizeWith(++characters).catch(() => undefined)
    if (next === undefined || sentBytes(next) > bytes) return best
    best = next
  }
}

describe('A6.01 ids', () => {
  it.for([
    { name: 'in the place of another one', clears: false },
    { name: 'after a sign-out', clears: true },
  ])('A6.01 a sign-in $name gets an id that nobody had', async ({ clears }) => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const { session } = await found(world, jar.header)
    const before = session.id
    await world.clock.advance(1000)
    if (clears) await session.clear()
    const later = STARTED_AT + 2000
    expect(await session.save(tokenSet({ generation: later, startedAt: later }))).toBe(true)
    expect(session.id).not.toBe(before)
    jar.take(session.setCookies)
    expect((await found(world, jar.header)).session.id).toBe(session.id)
  })

  it.for([
    { name: 'another user', change: { subject: 'mallory' } },
    { name: 'another issuer', change: { issuer: 'https://other.example' } },
    { name: 'an earlier sign-in', change: { startedAt: STARTED_AT - 1 } },
  ])('A6.01 a refresh of $name is not kept, whatever its generation', async ({ change }) => {
    const world = cookieWorld()
    const { session } = await found(world, (await browserWith(world)).header)
    expect(await session.save(tokenSet({ generation: STARTED_AT + 9, ...change }))).toBe(false)
    expect(session.setCookies).toEqual([])
  })
})

describe('A1.10 caches that others share', () => {
  it('A1.10 keep no response that read a session, whether it is there, was written or has ended', async () => {
    const world = cookieWorld()
    const unshared = [
      ['cache-control', 'private, no-store'],
      ['pragma', 'no-cache'],
      ['vary', 'cookie'],
    ]
    const anonymous = await world.sessions.fromRequest(null)
    expect(anonymous.responseHeaders).toEqual(unshared)
    const jar = await browserWith(world)
    const { session } = await found(world, jar.header)
    expect(session.responseHeaders).toEqual(unshared)
    for (const act of [() => session.save(tokenSet({ generation: STARTED_AT + 1 })), () => session.clear()]) {
      await act()
      const headers = new Headers(session.responseHeaders)
      expect(headers.get('cache-control')).toBe('private, no-store')
      expect(headers.getSetCookie()).toEqual(session.setCookies)
      expect(headers.getSetCookie().length).toBeGreaterThan(0)
    }
  })
})

describe('A6.02 attributes', () => {
  it('A6.02 are those that keep a cookie with its origin, away from scripts and from foreign posts', async () => {
    const { sessions } = cookieWorld()
    const session = await sessions.fromRequest(undefined)
    await session.save(tokenSet())
    expect(session.setCookies).toEqual([
      expect.stringMatching(/^__Host-session=[\w.-]+; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure$/),
    ])
  })

  it('A6.02 are the same where a cookie is removed, and all that a session can have is', async () => {
    const world = cookieWorld({ name: 'app' })
    const jar = await browserWith(world)
    const { session } = await found(world, jar.header)
    await session.clear()
    const attributes = '; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure'
    expect(session.setCookies).toEqual(['', '.1'].map((chunk) => `__Host-app${chunk}=${attributes}`))
    jar.take(session.setCookies)
    expect(jar.header).toBe('')
  })

  it.for([
    { name: 'the idle time', options: { idleMs: HOUR }, age: 0, seconds: 3600 },
    { name: 'the end of the session', options: { idleMs: DAY, absoluteMs: 2 * DAY }, age: DAY * 1.5, seconds: 43_200 },
    { name: '400 days', options: { idleMs: 900 * DAY, absoluteMs: 900 * DAY }, age: 0, seconds: 34_560_000 },
  ])('A6.02 bound the age by $name', async ({ options, age, seconds }) => {
    const { sessions, clock } = cookieWorld(options)
    await clock.advance(age)
    const session = await sessions.fromRequest(undefined)
    await session.save(tokenSet())
    expect(session.setCookies[0]).toContain(`; Max-Age=${seconds};`)
  })

  it('A6.02 on http to this machine neither prefix nor Secure, and nothing from another machine', async () => {
    const world = cookieWorld({ loopbackHttp: true })
    const { sessions } = world
    const jar = await browserWith(world)
    expect([...jar.cookies.keys()]).toEqual(['session'])
    const headers = { cookie: jar.header }
    for (const url of ['http://localhost:3000/', 'http://127.0.0.1/a', 'http://[::1]:1/']) {
      expect(await (await sessions.fromRequest(new Request(url, { headers }))).load()).toBeDefined()
    }
    const refused = await rejection(sessions.fromRequest(new Request('http://app.example/', { headers })))
    expect(refused).toMatchObject({ name: 'ConfigurationError', code: 'cookie_insecure' })
    const session = await sessions.fromRequest(null)
    await session.save(tokenSet())
    expect(session.setCookies[0]).toMatch(/; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax$/)
  })
})

describe('A6.03 sizes', () => {
  it.for([
    { kB: 3.9, cookies: 1 },
    { kB: 4.1, cookies: 2 },
    { kB: 8, cookies: 2 },
  ])('A6.03 a session of $kB kB takes $cookies cookies of 4,096 bytes at the most', async ({ kB, cookies }) => {
    const lines = await linesOfSize(kB * 1000)
    expect(lines).toHaveLength(cookies)
    expect(sentBytes(lines)).toBeGreaterThan(kB * 1000 - 4)
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096)
    const jar = createCookieJar()
    jar.take(lines)
    const { subject, reasons } = await found(cookieWorld(), jar.header)
    expect({ subject, reasons }).toEqual({ subject: 'alice', reasons: [] })
  })

  it('A6.03 the longest names fit as well', async () => {
    const options = { name: 'n'.repeat(64), keys: [{ id: 'k'.repeat(64), key: KEY }] }
    const lines = await linesOfSize(8000, options)
    expect(lines).toHaveLength(2)
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096)
    const jar = createCookieJar()
    jar.take(lines)
    expect((await found(cookieWorld(options), jar.header)).subject).toBe('alice')
  })

  it('A6.03 bytes count, not characters', async () => {
    const { sessions } = cookieWorld()
    const session = await sessions.fromRequest(undefined)
    const set = tokenSet({ claims: { padding: '€'.repeat(1800) } })
    await session.save(set)
    const jar = createCookieJar()
    jar.take(session.setCookies)
    for (const line of session.setCookies) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096)
    const next = await sessions.fromRequest(jar.header)
    expect(contentOf(await next.load())).toEqual(contentOf(set))
  })

  it.for([
    { kB: 8.1, set: sized(5600) },
    { kB: 20, set: sized(14_500) },
    { kB: 1000, set: sized(740_000) },
  ])('A6.03 a session of $kB kB is refused with what the browser has left as it was', async ({ set }) => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const { session } = await found(world, jar.header)
    const { generation } = set
    const error = await rejection(Promise.resolve(session.save(tokenSet({ ...set, generation: generation + 1 }))))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'session_too_large', retryable: false })
    expect(error.message).toMatch(/^cookieSessions: expected a session of at most 8000 bytes of cookies, got \d+$/)
    expect(session.setCookies).toEqual([])
    expect((await session.load())?.generation).toBe(generation)
  })

  it('A6.03 cookies that are left over go when a session shrinks, and do no harm while they are there', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world, sized(5000))
    expect([...jar.cookies.keys()]).toEqual([NAME, `${NAME}.1`])
    const { session } = await found(world, jar.header)
    await session.save(sized(10, { generation: STARTED_AT + 1 }))
    const [small = '', removal] = session.setCookies
    expect(removal).toBe(`${NAME}.1=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure`)
    jar.take([small])
    expect(jar.cookies.size).toBe(2)
    expect(await found(world, jar.header)).toMatchObject({ subject: 'alice', reasons: [] })
    jar.take(session.setCookies)
    expect([...jar.cookies.keys()]).toEqual([NAME])
  })
})

describe('A6.03 a session that just has room', () => {
  it('A6.03 goes on until its time is over when a key with a longer name takes over, and is not put off', async () => {
    const old = { id: 'a', key: KEY }
    const jar = createCookieJar()
    jar.take(await linesOfSize(8000, { keys: [old], idleMs: DAY }))
    const keys = [{ id: '2026-11-rotated', key: KEY.map((byte) => byte + 1) }, old]
    const after = cookieWorld({ keys, idleMs: DAY })
    await after.clock.advance(DAY - 1)
    const { session, subject, reasons } = await found(after, jar.header)
    expect({ subject, reasons, lines: session.setCookies }).toEqual({ subject: 'alice', reasons: [], lines: [] })
    await after.clock.advance(1)
    expect((await found(after, jar.header)).subject).toBeUndefined()
  })
})

describe('A6.05 keys of sessions', () => {
  it('A6.05 no initialization vector is there twice, and what is encrypted does not show', async () => {
    const { sessions } = cookieWorld()
    const session = await sessions.fromRequest(undefined)
    const ivs = new Set<string | undefined>()
    for (let n = 1; n <= 500; n++) {
      await session.save(tokenSet({ generation: STARTED_AT + n }))
      ivs.add(session.setCookies[0]?.split('.')[2])
      expect(atob(String(session.setCookies[0]?.split('.')[3]?.replace(/[-_]/g, 'A')))).not.toContain('refresh-1')
    }
    expect(ivs.size).toBe(500)
  })

  it('A6.05 A6.09 the key is made of the ring key for one session, one cookie name and this purpose alone (HKDF-SHA-256)', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const { session } = await found(world, jar.header)
    const purpose = JSON.stringify(['evertoken', 'cookie-session', 1, NAME])
    const keyFor = (salt: string): Uint8Array => new Uint8Array(hkdfSync('sha256', KEY, salt, purpose, 32))
    const jwe = String(jar.cookies.get(NAME))
    const { plaintext, protectedHeader } = await compactDecrypt(jwe, keyFor(session.id))
    expect(protectedHeader).toEqual({ alg: 'dir', enc: 'A256GCM', v: 1, kid: '2026-01', sid: session.id, parts: 1 })
    expect(new TextDecoder().decode(plaintext)).toContain('"refreshToken":"refresh-1"')
    await expect(compactDecrypt(jwe, keyFor(''))).rejects.toThrow('decryption operation failed')
  })

  it('A6.05 one session cannot be decrypted with the key of another', async () => {
    const world = cookieWorld()
    const [one, other] = [await browserWith(world), await browserWith(world)]
    const [header] = String(one.cookies.get(NAME)).split('..')
    const [, rest] = String(other.cookies.get(NAME)).split('..')
    expect(await found(world, `${NAME}=${header}..${rest}`)).toMatchObject({
      subject: undefined,
      reasons: ['not_authentic'],
    })
  })
})

describe('A6.08 lifetimes', () => {
  it('A6.08 a request that reads writes nothing, until half of the idle time is over', async () => {
    const world = cookieWorld({ idleMs: 2 * HOUR })
    const jar = await browserWith(world)
    await world.clock.advance(HOUR - 1)
    const early = await found(world, jar.header)
    expect(early.session.setCookies).toEqual([])
    await world.clock.advance(1)
    const due = await found(world, jar.header)
    expect(due.session.setCookies).toHaveLength(1)
    jar.take(due.session.setCookies)
    await world.clock.advance(2 * HOUR - 1)
    expect((await found(world, jar.header)).subject).toBe('alice')
    await world.clock.advance(1)
    expect((await found(world, jar.header)).subject).toBeUndefined()
  })

  it('A6.08 what is over is no attack: nobody is told', async () => {
    const world = cookieWorld({ idleMs: HOUR })
    const jar = await browserWith(world)
    await world.clock.advance(HOUR)
    expect((await found(world, jar.header)).reasons).toEqual([])
  })

  it('A6.08 a shorter life counts for sessions that are there already', async () => {
    const { clock, sessions } = cookieWorld({ idleMs: DAY })
    const jar = await browserWith(cookieWorld({ idleMs: DAY }, clock))
    await clock.advance(2 * HOUR)
    expect(await (await sessions.fromRequest(jar.header)).load()).toBeDefined()
    expect((await found(cookieWorld({ idleMs: HOUR }, clock), jar.header)).subject).toBeUndefined()
    expect((await found(cookieWorld({ absoluteMs: HOUR }, clock), jar.header)).subject).toBeUndefined()
  })

  it('A6.08 a clock that leaps ahead ends sessions, and one that is set back makes none longer', async () => {
    const world = cookieWorld({ idleMs: HOUR })
    const jar = await browserWith(world)
    world.clock.leap(-DAY)
    await world.clock.advance(HOUR / 4)
    expect((await found(world, jar.header)).subject).toBe('alice')
    world.clock.leap(HOUR)
    expect((await found(world, jar.header)).subject).toBeUndefined()
  })

  it('A6.08 what a clock has written that was far ahead is no session for the others', async () => {
    const ahead = cookieWorld()
    const behind = cookieWorld()
    await ahead.clock.advance(5 * 60_000)
    expect((await found(behind, (await browserWith(ahead)).header)).subject).toBe('alice')
    await ahead.clock.advance(1)
    expect(await found(behind, (await browserWith(ahead)).header)).toMatchObject({
      subject: undefined,
      reasons: ['not_yet'],
    })
  })
})

describe('A6.09 keys', () => {
  const text = Buffer.from(KEY).toString('base64')

  it.for([
    { name: 'no keys', keys: [] },
    { name: 'no list', keys: 'secret' },
    { name: '"secret"', keys: [{ id: 'a', key: 'secret' }] },
    { name: '8 characters', keys: [{ id: 'a', key: 'abcdefgh' }] },
    { name: 'a sentence', keys: [{ id: 'a', key: 'correct horse battery staple, forty characters long' }] },
    { name: '31 bytes', keys: [{ id: 'a', key: new Uint8Array(31) }] },
    {
      name: 'a weak one behind a good one',
      keys: [
        { id: 'a', key: KEY },
        { id: 'b', key: 'c2VjcmV0' },
      ],
    },
    { name: 'nothing', keys: [{ id: 'a', key: undefined }] },
    { name: 'no id', keys: [{ key: KEY }] },
    { name: 'an id with a dot', keys: [{ id: 'a.b', key: KEY }] },
    {
      name: 'an id twice',
      keys: [
        { id: 'a', key: KEY },
        { id: 'a', key: new Uint8Array(32) },
      ],
    },
  ])('A6.09 $name is refused at creation, without the key in the message', async ({ keys }) => {
    const error = await rejection((async () => cookieSessions({ keys: keys as never }))())
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'encryption_key_invalid' })
    expect(error.message).toMatch(/^cookieSessions: expected /)
    expect(error.message).not.toMatch(/secret|abcdefgh|horse|c2VjcmV0/)
  })

  it.for([
    { name: 'base64', key: text },
    { name: 'base64url with a line end', key: `${text.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')}\n` },
    { name: 'a Buffer', key: Buffer.from(KEY) },
  ])('A6.09 $name is the same key', async ({ key }) => {
    const jar = await browserWith(cookieWorld())
    expect((await found(cookieWorld({ keys: [{ id: '2026-01', key }] }), jar.header)).subject).toBe('alice')
  })

  it('A6.09 a new key takes over while the old one still reads, and what only the old one reads is no session after it', async () => {
    const old = { id: '2026-01', key: KEY }
    const fresh = { id: '2026-07', key: new Uint8Array(48).fill(9) }
    const jar = await browserWith(cookieWorld({ keys: [old] }))
    const both = cookieWorld({ keys: [fresh, old] })
    const { session, subject } = await found(both, jar.header)
    expect(subject).toBe('alice')
    const before = jar.header
    await session.save(tokenSet({ generation: STARTED_AT + 1 }))
    jar.take(session.setCookies)
    const after = cookieWorld({ keys: [fresh] })
    expect((await found(after, jar.header)).subject).toBe('alice')
    expect(await found(after, before)).toMatchObject({ subject: undefined, reasons: ['unknown_key'] })
  })
})

describe('options', () => {
  it.for([
    { name: 'another option', options: { secret: 'x' }, code: 'option_unknown' },
    { name: 'a name with a dot', options: { name: 'a.b' }, code: 'option_invalid' },
    { name: 'a name with a semicolon', options: { name: 'a;b' }, code: 'option_invalid' },
    { name: 'an empty name', options: { name: '' }, code: 'option_invalid' },
    { name: 'no idle time', options: { idleMs: 0 }, code: 'option_invalid' },
    { name: 'an endless life', options: { absoluteMs: Number.POSITIVE_INFINITY }, code: 'option_invalid' },
    { name: 'loopbackHttp that is no boolean', options: { loopbackHttp: 'yes' }, code: 'option_invalid' },
    { name: 'a telemetry without note', options: { telemetry: {} }, code: 'option_invalid' },
    { name: 'a clock without now', options: { clock: {} }, code: 'option_invalid' },
  ])('$name is refused', async ({ options, code }) => {
    const given = { keys: [{ id: 'a', key: KEY }], ...options }
    const error = await rejection((async () => cookieSessions(given as never))())
    expect(error).toMatchObject({ name: 'ConfigurationError', code })
  })

  it.for([1, {}, [], { headers: { cookie: 'a=b' } }])('%j is no request', async (request) => {
    const error = await rejection(cookieWorld().sessions.fromRequest(request as never))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
  })

  it('a Request, its Cookie header, and no header at all are', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const request = new Request('https://app.example/', { headers: { cookie: `a=b; ${jar.header}` } })
    expect(await (await world.sessions.fromRequest(request)).load()).toBeDefined()
    for (const none of [undefined, null, '', new Request('https://app.example/')]) {
      expect(await (await world.sessions.fromRequest(none)).load()).toBeUndefined()
    }
    expect(world.recorder.events).toEqual([])
  })
})
