import { createServer } from 'node:http'
import { connect } from 'node:net'
import { CompactEncrypt, UnsecuredJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { browserWith, type CookieWorld, cookieWorld, found, KEY } from '../support/carried-sessions.ts'
import { tokenSet } from '../support/token-sets.ts'

const NAME = '__Host-session'
const big = () => tokenSet({ claims: { padding: 'x'.repeat(4500) } })

const encode = (header: object): string => Buffer.from(JSON.stringify(header)).toString('base64url')
const headerIn = (jwe: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwe.split('.')[0] ?? '', 'base64url').toString())

/** No session, one event, nothing thrown, and an id that has nothing to do with the one in the cookie. */
async function expectNothing(world: CookieWorld, header: string, reason: unknown): Promise<void> {
  const { session, subject, reasons } = await found(world, header)
  expect({ subject, reasons }).toEqual({ subject: undefined, reasons: [reason] })
  expect(session.setCookies).toEqual([])
  expect(header).not.toContain(session.id)
}

describe('A6.04 altered cookies', () => {
  it('A6.04 one character, wherever it is, makes a session none', async () => {
    const world = cookieWorld()
    const value = String((await browserWith(world)).cookies.get(NAME))
    for (let at = 0; at < value.length; at++) {
      const other = value[at] === 'A' ? 'B' : 'A'
      const { subject, reasons } = await found(world, `${NAME}=${value.slice(0, at)}${other}${value.slice(at + 1)}`)
      expect({ at, subject, events: reasons.length }).toEqual({ at, subject: undefined, events: 1 })
    }
  })

  it('A6.04 bits of the last character that are not read count too', async () => {
    const world = cookieWorld()
    const value = String((await browserWith(world)).cookies.get(NAME))
    const last = value.slice(-1)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    for (const other of alphabet.replace(last, '')) {
      const { subject } = await found(world, `${NAME}=${value.slice(0, -1)}${other}`)
      expect({ other, subject }).toEqual({ other, subject: undefined })
    }
  })

  it('A6.04 every beginning of it, and everything behind it, is none', async () => {
    const world = cookieWorld()
    const value = String((await browserWith(world)).cookies.get(NAME))
    for (let length = 0; length < value.length; length++) {
      const { subject, reasons } = await found(world, `${NAME}=${value.slice(0, length)}`)
      expect({ length, subject, events: reasons.length }).toEqual({ length, subject: undefined, events: 1 })
    }
    for (const more of ['A', '.', '=', ' A', '.AAAA', '%00'])
      expect((await found(world, `${NAME}=${value}${more}`)).subject).toBeUndefined()
  })

  it.for([
    { name: 'alg none', change: { alg: 'none' }, reason: 'malformed' },
    { name: 'PBES2', change: { alg: 'PBES2-HS256+A128KW', p2c: 100_000_000, p2s: 'AAAA' }, reason: 'malformed' },
    { name: 'A256KW', change: { alg: 'A256KW' }, reason: 'malformed' },
    { name: 'RSA-OAEP', change: { alg: 'RSA-OAEP' }, reason: 'malformed' },
    { name: 'A128GCM', change: { enc: 'A128GCM' }, reason: 'malformed' },
    { name: 'A256CBC-HS512', change: { enc: 'A256CBC-HS512' }, reason: 'malformed' },
    { name: 'zip', change: { zip: 'DEF' }, reason: 'malformed' },
    { name: 'crit', change: { crit: ['exp'], exp: 1 }, reason: 'malformed' },
    { name: 'a key in it', change: { jwk: { kty: 'oct', k: 'AAAA' } }, reason: 'malformed' },
    { name: 'an older version', change: { v: 0 }, reason: 'unknown_version' },
    { name: 'a newer version', change: { v: 2 }, reason: 'unknown_version' },
    { name: 'another key', change: { kid: 'other' }, reason: 'unknown_key' },
    { name: 'a key of the prototype', change: { kid: '__proto__' }, reason: 'unknown_key' },
    { name: 'another session', change: { sid: 'A'.repeat(24) }, reason: 'not_authentic' },
    { name: 'a short id', change: { sid: 'A' }, reason: 'malformed' },
    { name: 'a thousand parts', change: { parts: 1000 }, reason: 'malformed' },
    { name: 'no part', change: { parts: 0 }, reason: 'malformed' },
    { name: 'a text of parts', change: { parts: '1' }, reason: 'malformed' },
    { name: 'more parts than there are', change: { parts: 2 }, reason: 'incomplete' },
  ])('A6.04 $name in the header makes it none', async ({ change, reason }) => {
    const world = cookieWorld()
    const value = String((await browserWith(world)).cookies.get(NAME))
    const [, ...rest] = value.split('.')
    await expectNothing(world, `${NAME}=${[encode({ ...headerIn(value), ...change }), ...rest].join('.')}`, reason)
  })

  it('A6.04 what others have made is none: an unsecured JWT, a JWE by the key itself, and a bomb', async () => {
    const world = cookieWorld()
    const header = headerIn(String((await browserWith(world)).cookies.get(NAME)))
    await expectNothing(world, `${NAME}=${new UnsecuredJWT({ sub: 'alice' }).encode()}`, 'malformed')
    const plain = { alg: 'dir', enc: 'A256GCM' } as const
    const seal = (members: object, text: Uint8Array): Promise<string> =>
      new CompactEncrypt(text).setProtectedHeader({ ...plain, ...members }).encrypt(KEY)
    await expectNothing(world, `${NAME}=${await seal(header, Buffer.from('0.{}'))}`, 'not_authentic')
    const bomb = await seal({ ...header, zip: 'DEF' }, new Uint8Array(200_000))
    expect(bomb.length).toBeLessThan(2000)
    await expectNothing(world, `${NAME}=${bomb}`, 'malformed')
  })

  it.for([
    '',
    '.',
    '....',
    'a.b.c.d.e',
    '{}',
    'e30',
    'e30....',
    'bnVsbA....',
    'W10....',
    '"x"',
    'null',
    '\u00e9',
    '%7B%7D',
    'x'.repeat(9000),
  ])('A6.04 %j is none', async (value) => {
    const { subject, reasons } = await found(cookieWorld(), `${NAME}=${value}`)
    expect({ subject, events: reasons.length }).toEqual({ subject: undefined, events: 1 })
  })

  it('A6.04 another key under the same id makes it none', async () => {
    const jar = await browserWith(cookieWorld())
    const other = cookieWorld({ keys: [{ id: '2026-01', key: new Uint8Array(32) }] })
    await expectNothing(other, jar.header, 'not_authentic')
  })

  it('A6.04 under another name it is none', async () => {
    const jar = await browserWith(cookieWorld({ name: 'user' }))
    const value = jar.cookies.get('__Host-user')
    await expectNothing(cookieWorld({ name: 'admin' }), `__Host-admin=${value}`, 'not_authentic')
  })
})

describe('A6.03 A6.04 parts', () => {
  it.for([
    { name: 'in another order', change: ([one, two]: string[]) => [two, one], reason: 'malformed' },
    { name: 'the first one twice', change: ([one]: string[]) => [one, one], reason: 'too_long' },
    { name: 'without the second one', change: ([one]: string[]) => [one], reason: 'incomplete' },
    { name: 'without the first one', change: ([, two]: string[]) => [undefined, two], reason: 'incomplete' },
    { name: 'with an empty one', change: ([one]: string[]) => [one, ''], reason: 'malformed' },
    {
      name: 'with one that is cut',
      // To a length that no whole bytes have in base64url.
      change: ([one, two]: string[]) => [one, two?.slice(0, -5)],
      reason: 'malformed',
    },
    {
      name: 'with one that is too long',
      change: ([one, two]: string[]) => [one, two?.padEnd(5000, 'A')],
      reason: 'too_long',
    },
  ])('A6.03 A6.04 $name are no session', async ({ change, reason }) => {
    const world = cookieWorld()
    const jar = await browserWith(world, big())
    expect(jar.cookies.size).toBe(2)
    const parts = change([...jar.cookies.values()])
    const cookies = parts.flatMap((part, at) =>
      part === undefined ? [] : [`${NAME}${at === 0 ? '' : `.${at}`}=${part}`],
    )
    await expectNothing(world, cookies.join('; '), reason)
  })

  it('A6.03 A6.04 of two writes of one session are no session', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world, big())
    const [, older] = [...jar.cookies.values()]
    const { session } = await found(world, jar.header)
    await session.save(tokenSet({ ...big(), generation: big().generation + 1 }))
    jar.take(session.setCookies)
    jar.cookies.set(`${NAME}.1`, String(older))
    await expectNothing(world, jar.header, 'not_authentic')
  })
})

describe('A6.10 cookies of others', () => {
  it.for([
    { name: 'before it', header: (own: string) => `${NAME}=tossed; ${own}` },
    { name: 'behind it', header: (own: string) => `${own}; ${NAME}=tossed` },
    { name: 'as a copy of it', header: (own: string) => `${own}; ${own}` },
    { name: 'empty', header: (own: string) => `${NAME}=; ${own}` },
    { name: 'of its second part', header: (own: string) => `${own}; ${NAME}.1=tossed; ${NAME}.1=again` },
  ])('A6.10 a cookie of the same name $name: neither counts', async ({ header }) => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    await expectNothing(world, header(jar.header), 'doubled')
  })

  it('A6.10 names that are nearly the same are not', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const others = ['session', '__host-session', '__Host-session2', 'x__Host-session', '__Host-session.7', '', ' ']
    const header = [...others.map((name) => `${name}=tossed`), '__Host-session', 'a', jar.header, ';;;'].join('; ')
    expect(await found(world, header)).toMatchObject({ subject: 'alice', reasons: [] })
  })

  it('A6.10 among 1,000 cookies it is found, over HTTP as well', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const cookies = Array.from({ length: 1000 }, (_, n) => `c${n}=${'v'.repeat(n % 20)}`)
    cookies.splice(500, 0, jar.header)
    await using server = await startEcho(world)
    const response = await fetch(server.url, { headers: { cookie: cookies.join('; ') } })
    expect(await response.text()).toBe('alice')
  })

  it('A6.10 a header that is longer than 64 KiB is not looked at', async () => {
    const world = cookieWorld()
    const jar = await browserWith(world)
    const long = `${jar.header}; padding=`
    expect((await found(world, long.padEnd(65_536, 'x'))).subject).toBe('alice')
    await expectNothing(world, long.padEnd(65_537, 'x'), 'too_long')
  })

  it('A6.10 a header of separators and equals signs is read to its end', async () => {
    for (const one of [';', '=', ' ', '; ', `${NAME};`, '\t=;']) {
      expect(await found(cookieWorld(), one.repeat(Math.floor(65_536 / one.length)))).toMatchObject({ reasons: [] })
    }
  })
})

/** A server that answers with the subject of the session that a request brings. */
async function startEcho({ sessions }: CookieWorld): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
    const session = await sessions.fromRequest(request.headers.cookie)
    response.end((await session.load())?.subject)
  })
  const { port, shut } = await listenOnLoopback(server)
  return { url: `http://127.0.0.1:${port}/`, [Symbol.asyncDispose]: shut }
}

describe('A6.10 a cookie whose name only looks like one with the prefix __Host-', () => {
  // What String.prototype.trim takes off, as far as a header can hold it.
  const SPACES = ['\u00a0', '\u000b', '\u000c']

  it('A6.10 comes over the wire as it is, and is not the session: any host of the domain can set it', async () => {
    const world = cookieWorld()
    // The attacker's own session, valid in itself.
    const mallory = (await browserWith(world, tokenSet({ subject: 'mallory' }))).cookies.get(NAME)
    let seen: string | undefined
    const server = createServer((incoming, outgoing) => {
      seen = incoming.headers.cookie
      outgoing.end()
    })
    const { port, shut } = await listenOnLoopback(server)
    const head = `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: \u00a0${NAME}=${mallory}\r\n\r\n`
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(head, 'latin1')))
      socket.on('close', () => resolve()).resume()
    })
    await shut()
    expect(seen).toContain(mallory)
    expect((await found(world, String(seen))).subject).toBeUndefined()
  })

  it.for(SPACES)('A6.10 with %j, and beside the real one it does not take the session away', async (space) => {
    const world = cookieWorld()
    const { header } = await browserWith(world)
    for (const cookies of [
      `${space}${NAME}=x; ${header}`,
      `${header};${space}${NAME}=x`,
      `${header}; ${NAME}${space}=x`,
    ]) {
      expect(await found(world, cookies)).toMatchObject({ subject: 'alice', reasons: [] })
    }
  })

  it('A6.10 spaces and tabs around a cookie are none of its name and value', async () => {
    const world = cookieWorld()
    const value = (await browserWith(world)).cookies.get(NAME)
    expect(await found(world, `a=b;\t ${NAME} \t= ${value}\t; c=d`)).toMatchObject({ subject: 'alice', reasons: [] })
  })
})
