import { clientAssertion, createTokenManager } from 'evertoken'
import { type AssertionUrlOptions, assertionFromUrl } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, type Handler, hang, reset, type SeenRequest } from '../support/hostile-server.ts'
import { jwtOf, START_SECONDS } from '../support/jwt-samples.ts'
import { testKey } from '../support/keys.ts'

const SECRET = 'a-secret-that-no-message-repeats'
const GIVEN = { iss: 'https://platform.example', sub: 'job', iat: START_SECONDS, exp: START_SECONDS + 300 }
const json = (value: unknown): Answer => ({ body: JSON.stringify(value) })
const plain = (body: string): Answer => ({ body, headers: { 'content-type': 'text/html' } })
/** A fresh JWT for each request, numbered; with or without `jti`. */
const numbered =
  (members: Readonly<Record<string, unknown>> = {}): Handler =>
  async ({ n }) =>
    json({ value: await jwtOf({ ...GIVEN, n, ...members }) })
const onceOnly: Handler = async ({ n }) => json({ value: await jwtOf({ ...GIVEN, jti: String(n) }) })
const queryOf = ({ url }: SeenRequest): Record<string, string> =>
  Object.fromEntries(new URL(url, 'http://any').searchParams)

describe('an assertion from a URL', () => {
  test('proves a client to a real authorization server', async ({ startProvider, elsewhere }) => {
    const { publicJwk } = await testKey('ES256')
    const provider = await startProvider({
      clients: [
        { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...publicJwk }] } },
      ],
      resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } },
    })
    elsewhere.answer = async (request) => {
      const now = Math.floor(Date.now() / 1000)
      const { audience } = queryOf(request)
      const dates = { iat: now, exp: now + 60, jti: String(request.n) }
      return plain(`${await jwtOf({ iss: 'machine', sub: 'machine', aud: audience, ...dates })}\n`)
    }
    const source = assertionFromUrl(`${elsewhere.origin}/identity?format=full`, {
      headers: { 'metadata-flavor': 'Google' },
      query: ({ issuer = '' }) => ({ audience: issuer }),
    })
    const tokens = createTokenManager({
      clients: {
        api: {
          issuer: provider.issuer,
          clientId: 'machine',
          authentication: clientAssertion(source),
          scope: 'read',
        },
      },
    })
    await tokens.getToken('api')
    await tokens.getToken('api')
    expect(elsewhere.requests.map(queryOf)).toEqual([{ format: 'full', audience: provider.issuer }])
    expect(elsewhere.requests[0]).toMatchObject({ method: 'GET', headers: { 'metadata-flavor': 'Google' } })
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(provider.assertions.map(({ claims }) => claims.jti)).toEqual(['1', '2'])
    await tokens.close()
  })

  const answers = [
    { name: 'in the member "value"', answer: (jwt: string) => json({ value: jwt, count: 1 }), options: {} },
    { name: 'in a member of another name', answer: (jwt: string) => json({ t: jwt }), options: { member: 't' } },
    { name: 'alone', answer: (jwt: string) => plain(jwt), options: {} },
    { name: 'alone between blanks', answer: (jwt: string) => plain(`\n ${jwt}\n`), options: {} },
  ]
  for (const { name, answer, options } of answers) {
    test(`is found ${name}`, async ({ server, clock }) => {
      const value = await jwtOf(GIVEN)
      server.answer = () => answer(value)
      const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
      expect(await assertionFromUrl(server.origin, { ...options, clock })()).toEqual({ type, value })
    })
  }

  const hanging = [
    { name: 'headers', options: { headers: () => new Promise<never>(() => {}) } },
    { name: 'URL', options: {} },
  ]
  for (const { name, options } of hanging) {
    test(`a function for the ${name} that hangs frees everybody at the deadline, and is asked again`, async ({
      server,
      clock,
    }) => {
      let hangs = true
      const url = name === 'URL' ? () => (hangs ? new Promise<never>(() => {}) : server.origin) : server.origin
      const headers = () => (hangs ? options.headers?.() : { 'x-token': 't' })
      const source = assertionFromUrl(url, {
        ...(options.headers && { headers: headers as never }),
        clock,
        deadlineMs: 100,
      })
      const calls = [source(), source(), source()].map((call) => rejection(call))
      await clock.untilPending(1)
      await clock.advance(100)
      for (const error of await Promise.all(calls)) expect(error.code).toBe('timeout')
      hangs = false
      const jwt = await jwtOf(GIVEN)
      server.answer = () => plain(jwt)
      expect((await source()).value).toBe(jwt)
      expect(clock.pending).toBe(0)
    })
  }

  test('asks for its headers before each request, as they may have changed', async ({ server, clock }) => {
    server.answer = onceOnly
    let count = 0
    const source = assertionFromUrl(server.origin, { headers: () => ({ 'x-token': `t${++count}` }), clock })
    await source()
    await source()
    expect(server.requests.map(({ headers }) => headers['x-token'])).toEqual(['t1', 't2'])
  })

  test('goes through the fetch that it is given', async ({ server, clock }) => {
    server.answer = numbered()
    const urls: string[] = []
    const counting: typeof fetch = (input, init) => {
      urls.push(String(input))
      return fetch(input, init)
    }
    await assertionFromUrl(new URL(server.origin), { fetch: counting, clock })()
    expect(urls).toEqual([`${server.origin}/`])
  })
})

describe('the reuse of an assertion', () => {
  const margins = [
    { name: '30 seconds before it expires', lifetimeSeconds: 300, keptMs: 270_000 },
    { name: 'a fifth of its lifetime before it expires', lifetimeSeconds: 50, keptMs: 40_000 },
  ]
  for (const { name, lifetimeSeconds, keptMs } of margins) {
    test(`without jti lasts until ${name}`, async ({ server, clock }) => {
      server.answer = numbered({ exp: START_SECONDS + lifetimeSeconds })
      const source = assertionFromUrl(server.origin, { clock })
      const first = await source()
      await clock.advance(keptMs - 1)
      expect(await source()).toEqual(first)
      expect(server.requests).toHaveLength(1)
      await clock.advance(1)
      expect(await source()).not.toEqual(first)
      expect(server.requests).toHaveLength(2)
    })
  }

  test('with a jti does not happen', async ({ server, clock }) => {
    server.answer = onceOnly
    const source = assertionFromUrl(server.origin, { clock })
    expect((await source()).value).not.toBe((await source()).value)
    expect(server.requests).toHaveLength(2)
  })

  test('without exp does not happen', async ({ server, clock }) => {
    server.answer = numbered({ exp: undefined })
    const source = assertionFromUrl(server.origin, { clock })
    await source()
    await source()
    expect(server.requests).toHaveLength(2)
  })

  test('is between calls for one audience only', async ({ server, clock }) => {
    server.answer = numbered()
    const source = assertionFromUrl(server.origin, { query: ({ issuer = '' }) => ({ audience: issuer }), clock })
    for (const issuer of ['https://a.example', 'https://b.example', 'https://a.example']) await source({ issuer })
    expect(server.requests.map(queryOf)).toEqual([{ audience: 'https://a.example' }, { audience: 'https://b.example' }])
  })

  test('makes fifty calls at once one request', async ({ server, clock }) => {
    server.answer = numbered()
    const source = assertionFromUrl(server.origin, { clock })
    const values = await Promise.all(Array.from({ length: 50 }, async () => (await source()).value))
    expect(new Set(values).size).toBe(1)
    expect(server.requests).toHaveLength(1)
  })

  test('gives each of ten calls at once an assertion of its own where it has a jti', async ({ server, clock }) => {
    server.answer = onceOnly
    const source = assertionFromUrl(server.origin, { clock })
    const values = await Promise.all(Array.from({ length: 10 }, async () => (await source()).value))
    expect(new Set(values).size).toBe(10)
    expect(server.requests).toHaveLength(10)
  })

  test('keeps no failure', async ({ server, clock }) => {
    server.answer = () => ({ status: 503 })
    const source = assertionFromUrl(server.origin, { clock })
    await rejection(source())
    server.answer = numbered()
    expect((await source()).value).toEqual(expect.any(String))
  })

  test('lets one caller go and serves the others', async ({ server, clock }) => {
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    server.answer = async (request) => {
      await released
      return numbered()(request)
    }
    const controller = new AbortController()
    const source = assertionFromUrl(server.origin, { clock })
    const [impatient, patient] = [source({ signal: controller.signal }), source()]
    controller.abort(new Error('enough'))
    expect(await rejection(impatient)).toMatchObject({ message: 'enough' })
    release()
    expect((await patient).value).toEqual(expect.any(String))
    expect(server.requests).toHaveLength(1)
  })
})

describe('a URL that gives no assertion', () => {
  interface Row {
    readonly name: string
    readonly answer: Answer
    readonly expected: Readonly<Record<string, unknown>>
    readonly options?: AssertionUrlOptions
  }
  const unavailable = { name: 'TransportError', code: 'assertion_unavailable', retryable: true }
  const refused = { name: 'ConfigurationError', code: 'assertion_refused', retryable: false }
  const invalid = { name: 'ConfigurationError', code: 'client_assertion_invalid', retryable: false }
  const rows: readonly Row[] = [
    ...[408, 429, 500, 503].map((status) => ({
      name: `but status ${status}`,
      answer: { status, body: SECRET },
      expected: unavailable,
    })),
    ...[204, 400, 401, 403, 404].map((status) => ({
      name: `but status ${status}`,
      answer: { status, ...(status !== 204 && { body: SECRET }) },
      expected: refused,
    })),
    {
      name: 'but a redirect',
      answer: { status: 302, headers: { location: 'https://elsewhere.example/' } },
      expected: refused,
    },
    { name: 'but another text', answer: plain(SECRET), expected: invalid },
    { name: 'but nothing', answer: plain(''), expected: invalid },
    { name: 'but JSON without the member', answer: json({ other: SECRET }), expected: invalid },
    { name: 'but JSON with a number in it', answer: json({ value: 1 }), expected: invalid },
    { name: 'but JSON with a text in it', answer: json({ value: SECRET }), expected: invalid },
    { name: 'but broken JSON', answer: { body: `{"value":"${SECRET}` }, expected: invalid },
    { name: 'but an inherited member', answer: json({}), expected: invalid, options: { member: 'toString' } },
    { name: 'but too much', answer: plain('x'.repeat(101)), expected: invalid, options: { maxBytes: 100 } },
    {
      name: 'as it cuts the connection',
      answer: reset,
      expected: { name: 'TransportError', code: 'connection_lost', retryable: true },
    },
  ]
  for (const { name, answer, expected, options } of rows) {
    test(`${name} is a typed error without secrets`, async ({ server, clock }) => {
      server.answer = () => answer
      const url = `${server.origin}/${SECRET}?key=${SECRET}`
      const source = assertionFromUrl(url, { headers: { authorization: `Bearer ${SECRET}` }, ...options })
      const error = await rejection(source({ clock }))
      expect(error).toMatchObject(expected)
      expect(JSON.stringify([error.message, error.stack, error.cause, { ...error }])).not.toContain(SECRET)
      expect(error.message).toContain(new URL(server.origin).host)
    })
  }

  test('keeps the token request from being sent', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = () => ({ status: 403 })
    const authentication = clientAssertion(assertionFromUrl(elsewhere.origin))
    expect(await rejection(manage({ authentication }).getToken('api'))).toMatchObject(refused)
    expect(elsewhere.requests).toHaveLength(1)
    expect(server.requests).toHaveLength(0)
  })

  test('for a moment is asked again by the next call', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = (request) => (request.n === 1 ? { status: 503 } : numbered()(request))
    const tokens = manage({ authentication: clientAssertion(assertionFromUrl(elsewhere.origin)) })
    expect(await rejection(tokens.getToken('api'))).toMatchObject(unavailable)
    await tokens.getToken('api')
    expect(elsewhere.requests).toHaveLength(2)
    expect(server.requests).toHaveLength(1)
  })

  test('in time is a typed error that a retry may cure', async ({ server, clock }) => {
    server.answer = () => hang
    const error = rejection(assertionFromUrl(server.origin, { clock, deadlineMs: 700 })())
    await server.nextRequest()
    await clock.advance(700)
    expect(await error).toMatchObject({ name: 'TransportError', code: 'timeout', retryable: true })
  })

  test('as nobody listens there is a typed error that a retry may cure', async ({ server, clock }) => {
    await server.shut()
    const error = await rejection(assertionFromUrl(server.origin, { clock })())
    expect(error).toMatchObject({ name: 'TransportError', code: 'unreachable', retryable: true })
  })

  test('but an expired one is a typed error', async ({ server, clock }) => {
    server.answer = numbered({ exp: START_SECONDS - 5 })
    expect(await rejection(assertionFromUrl(server.origin, { clock })())).toMatchObject({
      name: 'ConfigurationError',
      code: 'assertion_expired',
      message: `assertion from ${server.origin}: expected an assertion that is valid, got one that expired 5 s ago`,
    })
  })
})
