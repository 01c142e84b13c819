import {
  authorizedFetch,
  authorizerFrom,
  createAccessToken,
  memoryStore,
  staticSource,
  type TokenStore,
} from 'evertoken'
import { type DPoPKeyRing, dpopKeyRing } from 'evertoken/dpop'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { withMetadata } from '../support/handlers.ts'
import { type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'
import { proofOf } from '../support/proofs.ts'

const k1 = await createTestKey('ES256', 'k1')
const k2 = await createTestKey('ES256', 'k2')
const k3 = await createTestKey('EdDSA', 'k3')
const bound = tokenJson({ token_type: 'DPoP' })
const HOUR = 3_600_000

interface SeenStore extends TokenStore {
  readonly entries: Map<string, string>
  readonly calls: string[]
}

/** A store that shows what it holds. */
function seenStore(): SeenStore {
  const entries = new Map<string, string>()
  const calls: string[] = []
  const called = (name: string): void => void calls.push(name)
  return {
    entries,
    calls,
    get(key) {
      called('get')
      return entries.get(key)
    },
    set(key, value) {
      called('set')
      entries.set(key, value)
    },
    delete(key) {
      called('delete')
      entries.delete(key)
    },
  }
}

const jktsIn = ({ entries }: SeenStore) => [...entries.values()].map((text) => JSON.parse(text).jkt)
const xOf = (request: SeenRequest | undefined) => Object(proofOf(request as SeenRequest).header.jwk).x

describe('D7 tokens in a shared store', () => {
  test('D7 an entry names the key and does not hold it', async ({ manage, server }) => {
    server.answer = bound
    const store = seenStore()
    const { jkt } = await manage({ dpop: k1.jwk }, { store }).getToken('api')
    expect(jktsIn(store)).toEqual([jkt])
    const written = JSON.stringify([...store.entries])
    const { d, x, y } = k1.jwk
    for (const member of [d, x, y]) expect(written).not.toContain(member)
    expect(written).not.toMatch(/dpop\+jwt|eyJ|PRIVATE/)
  })

  test('D7 processes with one key share a token, and each proves it', async ({ manage, server, elsewhere, clock }) => {
    server.answer = bound
    const store = memoryStore({ clock })
    for (const dpop of [k1.jwk, k1.pem, dpopKeyRing(k1.jwk), () => k1.jwk]) {
      await manage({ dpop }, { store }).fetch('api', { baseUrl: elsewhere.origin })('x')
    }
    expect(server.requests).toHaveLength(1)
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual(Array(4).fill('DPoP token-1'))
    expect(elsewhere.requests.map(xOf)).toEqual(Array(4).fill(k1.jwk.x))
  })

  test('D7 a process with another key, or with none, finds nothing', async ({ manage, server }) => {
    server.answer = (request) => (request.headers.dpop === undefined ? tokenJson()(request) : bound(request))
    const store = seenStore()
    const tokens = []
    for (const dpop of [k1.jwk, k2.jwk, undefined]) {
      tokens.push(await manage({ ...(dpop && { dpop }) }, { store }).getToken('api'))
    }
    expect(tokens.map(({ accessToken }) => accessToken)).toEqual(['token-1', 'token-2', 'token-3'])
    expect(store.entries.size).toBe(3)
  })

  const strange: readonly { readonly name: string; readonly change: (entry: object, other: string) => object }[] = [
    { name: 'is bound to another key', change: (entry, jkt) => ({ ...entry, jkt }) },
    { name: 'is bound to no key', change: (entry) => ({ ...entry, jkt: undefined }) },
    { name: 'is a Bearer token', change: (entry) => ({ ...entry, jkt: undefined, tokenType: 'Bearer' }) },
    { name: 'is a Bearer token of the key', change: (entry) => ({ ...entry, tokenType: 'Bearer' }) },
  ]
  for (const { name, change } of strange) {
    test(`D7 D6 an entry that ${name} is a miss, whoever put it there`, async ({ manage, server, elsewhere }) => {
      server.answer = bound
      const store = seenStore()
      const { jkt } = await manage({ dpop: k1.jwk }, { store }).getToken('api')
      const other = await dpopKeyRing(k2.jwk).thumbprint()
      for (const [key, text] of store.entries) store.entries.set(key, JSON.stringify(change(JSON.parse(text), other)))
      const tokens = manage({ dpop: k1.jwk }, { store })
      expect(await tokens.getToken('api')).toMatchObject({ accessToken: 'token-2', jkt })
      await tokens.fetch('api', { baseUrl: elsewhere.origin })('x')
      expect(elsewhere.requests[0]?.headers.authorization).toBe('DPoP token-2')
      expect(jktsIn(store)).toEqual([jkt])
    })
  }

  test('D7 dpop: true neither reads nor writes the store', async ({ manage, server }) => {
    server.answer = bound
    const store = seenStore()
    const tokens = manage({ dpop: true }, { store })
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    await tokens.delete('api')
    await tokens.getToken('api', { scope: 'another' })
    expect(store.calls).toEqual([])
  })
})

describe('D8 delete after a rotation', () => {
  const moments: readonly {
    readonly name: string
    readonly between: (tokens: { getToken(name: 'api', request: object, options: object): Promise<unknown> }) => unknown
    readonly entries: number
  }[] = [
    { name: 'before a token of the new key', between: () => {}, entries: 1 },
    {
      name: 'when there is a token of the new key',
      between: (tokens) => tokens.getToken('api', {}, { forceRenewal: true }),
      entries: 2,
    },
  ]
  for (const { name, between, entries } of moments) {
    for (const request of [undefined, {}]) {
      const way = request === undefined ? 'of a client' : 'of a request'
      test(`D8 M4 delete ${way}, ${name}, leaves no token in the store`, async ({ manage, server, clock }) => {
        server.answer = bound
        const store = seenStore()
        const ring = dpopKeyRing(k1.jwk, { clock })
        const tokens = manage({ dpop: ring }, { store })
        await tokens.getToken('api')
        ring.rotate(k2.jwk)
        await between(tokens)
        expect(store.entries.size).toBe(entries)
        await tokens.delete('api', request)
        expect([...store.entries.values()].join()).not.toMatch(/token-\d/)
        const { jkt, accessToken } = await tokens.getToken('api')
        expect([jkt, accessToken]).toEqual([await ring.thumbprint(), `token-${entries + 1}`])
      })
    }
  }

  test('D8 revoke proves the key that the token is bound to', async ({ manage, server, clock }) => {
    server.answer = withMetadata((request) => (request.url === '/revoke' ? {} : bound(request)))
    const ring = dpopKeyRing(k1.jwk, { clock })
    const tokens = manage({ issuer: server.origin, tokenEndpoint: undefined, dpop: ring })
    const { accessToken } = await tokens.getToken('api')
    ring.rotate(k2.jwk)
    await tokens.revoke('api')
    const revoked = server.requests.find(({ url }) => url === '/revoke')
    expect([xOf(revoked), revoked?.form.get('token')]).toEqual([k1.jwk.x, accessToken])
  })
})

describe('D8 how long a key is held', () => {
  /** Whether a token that is bound to a key can still be proved with the ring; nobody else is told of the token. */
  async function proves(ring: DPoPKeyRing, jkt: string, origin: string): Promise<boolean> {
    const token = createAccessToken({ accessToken: 'probe', tokenType: 'DPoP', expiresAt: -1, jkt })
    const source = { getToken: async () => token }
    try {
      await authorizedFetch(authorizerFrom(source, { origins: [origin] }, { dpop: ring }))(origin)
      return true
    } catch {
      return false
    }
  }

  test('D8 the key before goes with the last token of it, and not before', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    const ring = dpopKeyRing(k1.jwk, { clock })
    const tokens = manage({ dpop: ring })
    const call = tokens.fetch('api', { baseUrl: elsewhere.origin })
    await call('x')
    await clock.advance(HOUR / 2)
    // The last token of the first key lives for half an hour longer than the first one.
    await tokens.getToken('api', { scope: 'another' })
    const first = await ring.thumbprint()
    ring.rotate(k3.pem)
    await call('x')
    expect(elsewhere.requests.map(xOf)).toEqual([k1.jwk.x, k1.jwk.x])
    await clock.advance(HOUR / 2)
    await call('x')
    expect(xOf(elsewhere.requests.at(-1))).toBe(k3.jwk.x)
    expect(await proves(ring, first, elsewhere.origin)).toBe(true)
    await clock.advance(HOUR / 2)
    await tokens.getToken('api')
    await ring.thumbprint()
    expect(await proves(ring, first, elsewhere.origin)).toBe(false)
    expect(await proves(ring, await ring.thumbprint(), elsewhere.origin)).toBe(true)
  })

  test('D8 several rotations while tokens live: every token goes with its own key', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    const ring = dpopKeyRing(k1.jwk, { clock })
    const tokens = manage({ dpop: ring })
    const scopes = ['a', 'b', 'c'] as const
    for (const [at, key] of [undefined, k2.jwk, k3.jwk].entries()) {
      if (key !== undefined) ring.rotate(key)
      await tokens.getToken('api', { scope: String(scopes[at]) })
    }
    for (const scope of scopes) await tokens.fetch('api', { baseUrl: elsewhere.origin }, { scope })('x')
    expect(elsewhere.requests.map(xOf)).toEqual([k1, k2, k3].map(({ jwk }) => jwk.x))
    expect(server.requests).toHaveLength(3)
  })

  test('D8 a rotation while a token is on its way: that token goes with the key that it was asked for with', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    const ring = dpopKeyRing(k1.jwk, { clock })
    const first = await ring.thumbprint()
    server.answer = (request) => {
      ring.rotate(k2.jwk)
      return bound(request)
    }
    const tokens = manage({ dpop: ring })
    expect((await tokens.getToken('api')).jkt).toBe(first)
    await tokens.fetch('api', { baseUrl: elsewhere.origin })('x')
    expect(xOf(elsewhere.requests[0])).toBe(k1.jwk.x)
    expect((await tokens.getToken('api', {}, { forceRenewal: true })).jkt).toBe(await ring.thumbprint())
  })

  test('D8 the key of a token that does not expire stays', async ({ elsewhere, clock }) => {
    const ring = dpopKeyRing(k1.jwk, { clock })
    const jkt = await ring.thumbprint()
    const token = createAccessToken({
      accessToken: 'lasting',
      tokenType: 'DPoP',
      expiresAt: Number.POSITIVE_INFINITY,
      jkt,
    })
    const source = staticSource(token, { clock })
    const call = authorizedFetch(authorizerFrom(source, { origins: [elsewhere.origin] }, { dpop: ring, clock }))
    await call(elsewhere.origin)
    ring.rotate(k2.jwk)
    await clock.advance(HOUR)
    await ring.thumbprint()
    await call(elsewhere.origin)
    expect(elsewhere.requests.map(xOf)).toEqual([k1.jwk.x, k1.jwk.x])
  })

  test('D6 D8 a static token of a key that has gone is not sent', async ({ elsewhere, clock }) => {
    const ring = dpopKeyRing(k1.jwk, { clock })
    const jkt = await ring.thumbprint()
    ring.rotate(k2.jwk)
    await clock.advance(HOUR)
    await ring.thumbprint()
    const token = createAccessToken({ accessToken: 'old', tokenType: 'DPoP', expiresAt: clock.now() + HOUR, jkt })
    const source = staticSource(token, { clock })
    const call = authorizedFetch(authorizerFrom(source, { origins: [elsewhere.origin] }, { dpop: ring, clock }))
    expect(await rejection(call(elsewhere.origin))).toMatchObject({ name: 'ConfigurationError' })
    expect(elsewhere.requests).toHaveLength(0)
  })
})
