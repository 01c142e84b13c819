import { createTokenManager, privateKeyJwt } from 'evertoken'
import { jwksHandler, type KeyRing, keyRing, type RingKey, signerFrom } from 'evertoken/keys'
import { decodeProtectedHeader } from 'jose'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, type Handler, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey, type SigningAlg, type TestKey } from '../support/keys.ts'
import type { TestClock } from '../support/test-clock.ts'

const issued = { issuer: 'https://as.example' }
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const keys = await Promise.all(['k1', 'k2', 'k3'].map((kid) => createTestKey('ES256', kid)))
const [k1, k2, k3] = keys as [TestKey, TestKey, TestKey]
const ringKey = ({ jwk }: TestKey, members: Partial<RingKey> = {}): RingKey => ({ key: jwk, ...members })

const kidOf = ({ form }: SeenRequest) => decodeProtectedHeader(form.get('client_assertion') ?? '').kid

/** A refusal by a server with the same clock. */
function refusal(clock: TestClock): Answer {
  const answer = errorJson(401, 'invalid_client') as Exclude<Answer, () => void>
  return { ...answer, headers: { date: new Date(clock.wallTime()).toUTCString() } }
}

/** A server that knows some keys by their kid. */
function knows(kids: ReadonlySet<string>, clock: TestClock): Handler {
  return (request) => (kids.has(String(kidOf(request))) ? tokenJson()(request) : refusal(clock))
}

async function publishedKids(ring: KeyRing): Promise<readonly unknown[]> {
  return (await ring.publicJwks()).keys.map(({ kid }) => kid)
}

describe('A9 F9.08 a ring of keys', () => {
  const ringAt = (clock: TestClock, members: readonly RingKey[], options = {}): KeyRing =>
    keyRing(members, { clock, ...options })

  test('A9 F9.08 signs with the newest key that has been published for long enough', async ({
    manage,
    server,
    clock,
  }) => {
    const ring = ringAt(clock, [ringKey(k1)])
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    const kidNow = async (): Promise<unknown> => {
      await tokens.getToken('api', {}, { forceRenewal: true })
      return kidOf(server.requests.at(-1) as SeenRequest)
    }
    expect(await kidNow()).toBe('k1')
    ring.add(ringKey(k2))
    expect(await publishedKids(ring)).toEqual(['k1', 'k2'])
    expect(await kidNow()).toBe('k1')
    await clock.advance(10 * MINUTE_MS - 1)
    expect(await kidNow()).toBe('k1')
    await clock.advance(1)
    expect(await kidNow()).toBe('k2')
  })

  test('A9 a key that was published before the program started needs no further delay', async ({
    manage,
    server,
    clock,
  }) => {
    const ring = ringAt(clock, [ringKey(k1), ringKey(k2, { publishedAt: clock.now() - HOUR_MS })])
    await manage({ ...issued, authentication: privateKeyJwt(ring) }).getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['k2'])
  })

  test('A9 F9.08 a server that does not know the new key gets the old one, and is not asked with the new one for a minute', async ({
    manage,
    server,
    clock,
    recorder,
  }) => {
    const known = new Set(['k1'])
    server.answer = (request) => knows(known, clock)(request)
    const ring = ringAt(clock, [ringKey(k1), ringKey(k2)])
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    await tokens.getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['k2', 'k1'])
    expect(recorder.events).toContainEqual({
      name: 'authentication_retried',
      client: 'api',
      error: 'client_refused',
    })
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(kidOf).slice(2)).toEqual(['k1'])
    known.add('k2')
    await clock.advance(MINUTE_MS)
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(kidOf).slice(3)).toEqual(['k2'])
  })

  test('A9 every attempt has a jti of its own, whichever key signs it', async ({ manage, server, clock }) => {
    server.answer = knows(new Set(['k1']), clock)
    const ring = ringAt(
      clock,
      keys.map((key) => ringKey(key)),
    )
    await manage({ ...issued, authentication: privateKeyJwt(ring) }).getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['k3', 'k2', 'k1'])
    expect(new Set(server.requests.map(({ form }) => form.get('client_assertion'))).size).toBe(3)
  })

  test('A9 a server that refuses every key refuses the client: later requests try one key only', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => refusal(clock)
    const ring = ringAt(
      clock,
      keys.map((key) => ringKey(key)),
    )
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    expect((await rejection(tokens.getToken('api'))).code).toBe('client_refused')
    expect(server.requests).toHaveLength(3)
    await rejection(tokens.getToken('api', {}, { forceRenewal: true }))
    expect(server.requests.map(kidOf).slice(3)).toEqual(['k3'])
  })

  test('A9 another refusal is no question of keys', async ({ manage, server, clock }) => {
    server.answer = () => errorJson(400, 'invalid_scope')
    const ring = ringAt(
      clock,
      keys.map((key) => ringKey(key)),
    )
    await rejection(manage({ ...issued, authentication: privateKeyJwt(ring) }).getToken('api'))
    expect(server.requests).toHaveLength(1)
  })

  test('A9 what one server knows says nothing about another', async ({ server, elsewhere, clock }) => {
    server.answer = knows(new Set(['k1']), clock)
    const authentication = privateKeyJwt(ringAt(clock, [ringKey(k1), ringKey(k2)]))
    const clients = {
      here: { ...issued, tokenEndpoint: server.tokenEndpoint, clientId: 'machine', authentication },
      there: {
        issuer: 'https://other.example',
        tokenEndpoint: elsewhere.tokenEndpoint,
        clientId: 'machine',
        authentication,
      },
    }
    const tokens = createTokenManager({ clients, clock })
    await tokens.getToken('here')
    await tokens.getToken('there')
    expect(elsewhere.requests.map(kidOf)).toEqual(['k2'])
    await tokens.close()
  })

  test('A9 keys whose algorithm the server does not take are passed over', async ({ manage, server, clock }) => {
    const rsa = await createTestKey('PS256' satisfies SigningAlg, 'rsa')
    server.answer = (request) =>
      request.url === '/token'
        ? tokenJson()(request)
        : {
            body: JSON.stringify({
              issuer: server.origin,
              token_endpoint: server.tokenEndpoint,
              token_endpoint_auth_signing_alg_values_supported: ['ES256'],
            }),
          }
    const authentication = privateKeyJwt(ringAt(clock, [ringKey(k1), ringKey(rsa)]))
    await manage({ tokenEndpoint: undefined, issuer: server.origin, authentication }).getToken('api')
    expect(server.requests.filter(({ url }) => url === '/token').map(kidOf)).toEqual(['k1'])
  })

  test('A9 an old key is retired when its successor has been in use for long enough and its last token has died', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = tokenJson({ expires_in: 3 * 60 * 60 })
    const ring = ringAt(clock, [ringKey(k1)], { retireAfterMs: HOUR_MS })
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    await tokens.getToken('api')
    ring.add(ringKey(k2))
    await clock.advance(10 * MINUTE_MS + HOUR_MS)
    // An hour has passed, but the token of the old key lives for three.
    expect(await publishedKids(ring)).toEqual(['k1', 'k2'])
    await clock.advance(2 * HOUR_MS)
    expect(await publishedKids(ring)).toEqual(['k2'])
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(kidOf(server.requests.at(-1) as SeenRequest)).toBe('k2')
  })

  test('A9 a ring that has just been made does not retire what its keys obtained before', async ({ clock }) => {
    const ring = ringAt(clock, [ringKey(k1), ringKey(k2)])
    expect(await publishedKids(ring)).toEqual(['k1', 'k2'])
    await clock.advance(DAY_MS)
    expect(await publishedKids(ring)).toEqual(['k2'])
  })

  test('A9 the last key is never retired', async ({ clock }) => {
    const ring = ringAt(clock, [ringKey(k1)])
    await clock.advance(1000 * DAY_MS)
    expect(await publishedKids(ring)).toEqual(['k1'])
  })

  test('A9 signers can be in a ring', async ({ manage, server, clock }) => {
    const ring = ringAt(clock, [{ key: await signerFrom(k1.pem, { kid: 'mine' }) }])
    await manage({ ...issued, authentication: privateKeyJwt(ring) }).getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['mine'])
  })

  const wrong: readonly { readonly name: string; readonly make: () => unknown; readonly says: string }[] = [
    { name: 'no key', make: () => keyRing([]), says: 'expected at least one key, got none' },
    {
      name: 'a key without kid',
      make: () => keyRing([{ key: k1.pem }]),
      says: 'expected every key to have a kid, got one without',
    },
    {
      name: 'one kid twice',
      make: () => keyRing([ringKey(k1), ringKey(k1)]),
      says: 'expected every kid once, got one twice',
    },
    {
      name: 'a key that cannot sign',
      make: () => keyRing([{ key: k1.publicJwk, kid: 'k1' }]),
      says: 'expected a private JWK, got a JWK without "d"',
    },
    {
      name: 'a key that is added under a known kid',
      make: () => keyRing([ringKey(k1)]).add(ringKey(k2, { kid: 'k1' })),
      says: 'expected every kid once, got one twice',
    },
  ]
  const odd: readonly { readonly name: string; readonly make: () => unknown; readonly code: string }[] = [
    {
      name: 'a date that is none',
      make: () => keyRing([ringKey(k1, { publishedAt: Date.parse('soon') })]),
      code: 'key_invalid',
    },
    {
      name: 'no publish delay',
      make: () => keyRing([ringKey(k1)], { publishDelayMs: Number.NaN }),
      code: 'option_invalid',
    },
    { name: 'a negative time', make: () => keyRing([ringKey(k1)], { retireAfterMs: -1 }), code: 'option_invalid' },
  ]
  for (const { name, make, code } of odd) {
    test(`a ring with ${name} is refused`, () => {
      expect(make).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
    })
  }

  test('a signer whose public part is out of reach can have a kid', async ({ manage, server, clock }) => {
    const { privateKey } = k1.cryptoKeyPair
    const ring = ringAt(clock, [{ key: await signerFrom(privateKey), kid: 'named' }])
    await manage({ ...issued, authentication: privateKeyJwt(ring) }).getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['named'])
  })

  for (const { name, make, says } of wrong) {
    test(`F9.07 a ring with ${name} is refused`, () => {
      expect(make).toThrow(expect.objectContaining({ name: 'ConfigurationError', code: 'key_invalid' }))
      expect(make).toThrow(says)
    })
  }
})

describe('A9 the JWKS of a ring', () => {
  const get = (headers: Record<string, string> = {}): Request => new Request('https://client.example/jwks', { headers })

  test('A9 holds public keys with kid, alg and use, and nothing else', async ({ clock }) => {
    const rsa = await createTestKey('PS256', 'rsa')
    const okp = await createTestKey('EdDSA', 'okp')
    const ring = keyRing([ringKey(k1), ringKey(rsa), ringKey(okp)], { clock })
    expect((await ring.publicJwks()).keys).toEqual([k1.publicJwk, rsa.publicJwk, okp.publicJwk])
  })

  test('A9 is served with caching headers that a server can use', async ({ clock }) => {
    const ring = keyRing([ringKey(k1)], { clock })
    const handler = jwksHandler(ring)
    const response = await handler(get())
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/jwk-set+json')
    expect(response.headers.get('cache-control')).toBe('public, max-age=300')
    expect(await response.json()).toEqual({ keys: [k1.publicJwk] })
    const etag = String(response.headers.get('etag'))

    const unchanged = await handler(get({ 'if-none-match': `"other", W/${etag}` }))
    expect([unchanged.status, await unchanged.text()]).toEqual([304, ''])
    ring.add(ringKey(k2))
    const changed = await handler(get({ 'if-none-match': etag }))
    expect(changed.status).toBe(200)
    expect(await changed.json()).toEqual({ keys: [k1.publicJwk, k2.publicJwk] })
  })

  test('A9 answers HEAD without a body and refuses what would change something', async ({ clock }) => {
    const handler = jwksHandler(keyRing([ringKey(k1)], { clock }))
    const head = await handler(new Request('https://client.example/jwks', { method: 'HEAD' }))
    expect([head.status, await head.text()]).toEqual([200, ''])
    const post = await handler(new Request('https://client.example/jwks', { method: 'POST' }))
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('A9 may not be kept for longer than a new key waits', async ({ clock }) => {
    const ring = keyRing([ringKey(k1)], { clock, publishDelayMs: 60_000 })
    expect(() => jwksHandler(ring, { maxAgeSeconds: 61 })).toThrow('at most 60, the publish delay')
    const response = await jwksHandler(ring, { maxAgeSeconds: 60 })(get())
    expect(response.headers.get('cache-control')).toBe('public, max-age=60')
  })
})

describe('A9 rotation under load', () => {
  test('A9 F9.08 200 calls a second while the ring rotates twice and the server forgets the oldest key: none fails', async ({
    manage,
    server,
    clock,
  }) => {
    const ring = keyRing([ringKey(k1)], { clock, publishDelayMs: 60_000, retireAfterMs: 120_000 })
    // What the server knows from which second on: it learns of each new key half a minute after that is in use, and forgets the old one
    // ten seconds later, while the ring has just put the new one aside.
    const known: readonly (readonly [second: number, kids: readonly string[]])[] = [
      [0, ['k1']],
      [120, ['k1', 'k2']],
      [130, ['k2']],
      [280, ['k2', 'k3']],
      [285, ['k3']],
    ]
    const added = new Map([
      [30, k2],
      [200, k3],
    ])
    let second = 0
    let refusals = 0
    server.answer = (request) => {
      const kids = known.findLast(([from]) => second >= from)?.[1] ?? []
      if (kids.includes(String(kidOf(request)))) return tokenJson({ expires_in: 5 })(request)
      refusals++
      return refusal(clock)
    }
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    let failed = 0
    let calls = 0
    for (; second < 420; second++) {
      const key = added.get(second)
      if (key !== undefined) ring.add(ringKey(key))
      const together = Array.from({ length: 200 }, () => tokens.getToken('api').catch(() => failed++))
      calls += together.length
      await Promise.all(together)
      await clock.advance(1000)
    }
    expect([calls, failed]).toEqual([84_000, 0])
    expect(refusals).toBeGreaterThan(2)
    expect([...new Set(server.requests.map(kidOf))]).toEqual(['k1', 'k2', 'k3'])
    expect(await publishedKids(ring)).toEqual(['k3'])
  })

  test('A9 F9.08 a server that forgets the key in use at once: calls go on with the one before it', async ({
    manage,
    server,
    clock,
  }) => {
    const known = new Set(['k1', 'k2'])
    server.answer = (request) => knows(known, clock)(request)
    const ring = keyRing([ringKey(k1), ringKey(k2)], { clock })
    const tokens = manage({ ...issued, authentication: privateKeyJwt(ring) })
    await tokens.getToken('api')
    known.delete('k2')
    const calls = Array.from({ length: 200 }, () => tokens.getToken('api', {}, { forceRenewal: true }))
    await Promise.all(calls)
    expect(kidOf(server.requests.at(-1) as SeenRequest)).toBe('k1')
  })

  test('A9 F9.08 a server that exchanges its one key while the ring has put the new one aside: none fails', async ({
    manage,
    server,
    clock,
  }) => {
    let known = 'k1'
    server.answer = (request) => knows(new Set([known]), clock)(request)
    const tokens = manage({ ...issued, authentication: privateKeyJwt(keyRing([ringKey(k1), ringKey(k2)], { clock })) })
    await tokens.getToken('api')
    known = 'k2'
    await clock.advance(10_000)
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(kidOf)).toEqual(['k2', 'k1', 'k1', 'k2'])
  })

  test('A9 one hiccup of a server that does not know the new key costs one call', async ({ manage, server, clock }) => {
    let hiccup = false
    server.answer = (request) => knows(new Set(hiccup ? [] : ['k1']), clock)(request)
    const tokens = manage({ ...issued, authentication: privateKeyJwt(keyRing([ringKey(k1), ringKey(k2)], { clock })) })
    await tokens.getToken('api')
    hiccup = true
    await rejection(tokens.getToken('api', {}, { forceRenewal: true }))
    hiccup = false
    let failed = 0
    for (let second = 0; second < 60; second++) {
      await clock.advance(1000)
      await tokens.getToken('api', {}, { forceRenewal: true }).catch(() => failed++)
    }
    expect(failed).toBeLessThanOrEqual(1)
  })
})
