import { authorizedFetch, authorizerFrom, createAccessToken, memoryStore, staticSource } from 'evertoken'
import { createProof, dpopKeyRing } from 'evertoken/dpop'
import { nodeSigner } from 'evertoken/node'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import { athOf, demandingNonce, proofOf } from '../support/proofs.ts'
import { verifyProof } from '../support/verify-proof.ts'

const bound = tokenJson({ token_type: 'DPoP' })
const HOUR = 3_600_000
const never = new Promise<never>(() => {})

describe('clocks that are set right again', () => {
  test('N12.13 an offset that was learned from an API is forgotten when it is wrong', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    let aheadMs = 300_000
    const hasDate = { now: true }
    elsewhere.answer = (request): Answer => {
      const now = clock.wallTime() + aheadMs
      const isTimely = Math.abs(now / 1000 - Number(proofOf(request).claims.iat)) < 60
      const headers = { ...(hasDate.now ? { date: new Date(now).toUTCString() } : { date: 'soon' }) }
      return isTimely
        ? { headers }
        : { status: 401, headers: { ...headers, 'www-authenticate': 'DPoP error="invalid_dpop_proof"' } }
    }
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    const requestsOf = async (): Promise<number> => {
      const before = elsewhere.requests.length
      expect((await call('x')).status).toBe(200)
      return elsewhere.requests.length - before
    }
    expect([await requestsOf(), await requestsOf()]).toEqual([2, 1])
    aheadMs = 0
    expect([await requestsOf(), await requestsOf()]).toEqual([2, 1])
    aheadMs = 300_000
    expect([await requestsOf(), await requestsOf()]).toEqual([2, 1])
    // Without a date to go by, this machine's clock is the last resort.
    aheadMs = 0
    hasDate.now = false
    expect(await requestsOf()).toBe(2)
  })
})

describe('keys that are late, gone or broken', () => {
  test('M6 delete and revoke reach what is known without the function that gives the key', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = (request) => (request.url === '/token' ? bound(request) : { body: '' })
    const { jwk } = await testKey('ES256')
    let give = async (): Promise<object> => jwk
    const store = memoryStore({ clock })
    const tokens = manage({ dpop: () => give() as never }, { store })
    const before = await tokens.getToken('api')
    give = async () => {
      throw new Error('the vault is closed')
    }
    await tokens.delete('api')
    give = async () => jwk
    const after = await tokens.getToken('api')
    expect(after.accessToken).not.toBe(before.accessToken)
    give = () => never
    let isDeleted = false
    const deleted = tokens.delete('api').then(() => {
      isDeleted = true
    })
    // The store has timers of its own, so there is no one timer to wait for.
    while (!isDeleted) await clock.advance(10_000)
    await deleted
    give = async () => jwk
    expect((await tokens.getToken('api')).accessToken).toBe('token-3')
  })

  test('M6 a deletion that cannot name anything says so, in time', async ({ manage, clock }) => {
    const store = memoryStore({ clock })
    const failing = manage({ dpop: () => Promise.reject(new Error('no vault')) }, { store })
    expect(await rejection(failing.delete('api'))).toMatchObject({ code: 'dpop_key_failed' })
    const deleted = rejection(manage({ dpop: () => never }, { store }).delete('api'))
    await clock.untilPending()
    await clock.advance(10_000)
    expect(await deleted).toMatchObject({ name: 'TransportError', code: 'timeout' })
  })

  test('M14 a caller who gives up does not wait for a key or a nonce', async ({ elsewhere, clock }) => {
    const token = createAccessToken({ accessToken: 'a', tokenType: 'DPoP', expiresAt: clock.now() + HOUR, jkt: 'x' })
    const destination = { baseUrl: elsewhere.origin }
    const gone = new Error('gone')
    const dpop = dpopKeyRing(() => never)
    const call = authorizedFetch(authorizerFrom(staticSource(token, { clock }), destination, { dpop, clock }))
    const abort = new AbortController()
    const answer = rejection(call(elsewhere.origin, { signal: abort.signal }))
    abort.abort(gone)
    expect(await answer).toBe(gone)

    const ring = dpopKeyRing((await testKey('ES256')).jwk)
    const mine = createAccessToken({ ...token, accessToken: 'b', jkt: await ring.thumbprint() })
    const nonceStore = { get: () => never, set: () => {} }
    const options = { dpop: ring, nonceStore, clock }
    const waiting = authorizedFetch(authorizerFrom(staticSource(mine, { clock }), destination, options))
    const another = new AbortController()
    const late = rejection(waiting(elsewhere.origin, { signal: another.signal }))
    await clock.untilPending()
    another.abort(gone)
    expect(await late).toBe(gone)
    expect(elsewhere.requests).toHaveLength(0)
  })

  test('D8 a key that was replaced before it was used here still proves the tokens of another process', async ({
    elsewhere,
    clock,
  }) => {
    const [before, after] = [await createTestKey('ES256', 'a'), await createTestKey('ES256', 'b')]
    const jkt = await dpopKeyRing(before.jwk).thumbprint()
    const ring = dpopKeyRing(before.jwk, { clock })
    ring.rotate(after.jwk)
    const token = createAccessToken({ accessToken: 'old', tokenType: 'DPoP', expiresAt: clock.now() + HOUR, jkt })
    const source = staticSource(token, { clock })
    const call = authorizedFetch(authorizerFrom(source, { baseUrl: elsewhere.origin }, { dpop: ring, clock }))
    expect((await call(elsewhere.origin)).status).toBe(200)
    expect(await ring.thumbprint()).not.toBe(jkt)
  })

  test('D8 a key that is let go of while its token is on its way comes back with the token', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    const [before, after] = [await createTestKey('ES256', 'a'), await createTestKey('ES256', 'b')]
    const ring = dpopKeyRing(before.jwk, { clock })
    const tokens = manage({ dpop: ring }, { deadlineMs: HOUR })
    const jkt = await ring.thumbprint()
    server.answer = async (request) => {
      ring.rotate(after.jwk)
      await clock.advance(120_000)
      await ring.thumbprint()
      return bound(request)
    }
    expect((await tokens.fetch('api', { baseUrl: elsewhere.origin })('x')).status).toBe(200)
    expect((await tokens.getToken('api')).jkt).toBe(jkt)
    expect(server.requests).toHaveLength(1)
  })

  test('D1 a key that could not be made is made for the next call', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    const make = crypto.subtle.generateKey
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    Object.defineProperty(crypto.subtle, 'generateKey', {
      configurable: true,
      value: () => Promise.reject(new Error('no entropy')),
    })
    try {
      expect(await rejection(call('x'))).toMatchObject({ code: 'dpop_key_failed' })
    } finally {
      Object.defineProperty(crypto.subtle, 'generateKey', { configurable: true, value: make })
    }
    expect(server.requests).toHaveLength(0)
  })

  test('D4 a signer whose sign was wrapped signs what it was given, also when it takes its time', async () => {
    const signer = nodeSigner((await testKey('ES256')).pem)
    const sign = signer.sign.bind(signer)
    Object.assign(signer, {
      sign: async (input: Uint8Array) => {
        await null
        return sign(input)
      },
    })
    const url = 'https://api.example/x'
    const proofs = await Promise.all([1, 2, 3].map(() => createProof(signer, { method: 'GET', url })))
    for (const proof of proofs) verifyProof(proof, { method: 'GET', url })
  })
})

describe('what goes into a proof', () => {
  test('N12.01 ath is of the token that is sent, also when its source changed the object', async ({
    elsewhere,
    clock,
  }) => {
    const ring = dpopKeyRing((await testKey('ES256')).jwk)
    const jkt = await ring.thumbprint()
    const token = { accessToken: 'one', tokenType: 'DPoP' as const, expiresAt: clock.now() + HOUR, jkt }
    const authorizer = authorizerFrom(
      { getToken: async () => token },
      { baseUrl: elsewhere.origin },
      { dpop: ring, clock },
    )
    const call = authorizedFetch(authorizer)
    await call(elsewhere.origin)
    token.accessToken = 'two'
    await call(elsewhere.origin)
    expect(elsewhere.requests.map((request) => proofOf(request).claims.ath)).toEqual([athOf('one'), athOf('two')])
  })

  test('D2 T3 a body that takes long to make is made before its proof', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    elsewhere.answer = demandingNonce(
      () => 'n',
      () => ({}),
    )
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    const body = async (): Promise<string> => {
      await clock.advance(90_000)
      return 'made'
    }
    expect((await call('x', { method: 'POST', body })).status).toBe(200)
    const ages = elsewhere.requests.map((request) => Number(proofOf(request).claims.iat))
    expect(Number(ages[1]) - Number(ages[0])).toBe(90)
    expect(clock.wallTime() / 1000 - Number(ages[1])).toBe(0)
  })

  test('D4 claims cannot replace what a proof says, whatever they do to be serialised', async () => {
    const signer = nodeSigner((await testKey('ES256')).pem)
    const options = { method: 'GET', url: 'https://api.example/x' }
    const claims = { toJSON: () => ({ extra: 1 }) }
    const proof = decodeJwt(await createProof(signer, { ...options, claims }))
    expect(proof).toMatchObject({ extra: 1, htm: 'GET', htu: 'https://api.example/x', jti: expect.any(String) })
    const sly = { toJSON: () => ({ htm: 'DELETE' }) }
    expect(await rejection(createProof(signer, { ...options, claims: sly }))).toMatchObject({
      code: 'proof_claims_invalid',
    })
    const nothing = new Headers().get('dpop-nonce') as never
    expect(decodeJwt(await createProof(signer, { ...options, nonce: nothing }))).not.toHaveProperty('nonce')
  })

  const jwks: readonly { readonly name: string; readonly alg: 'RS256' | 'ES256'; readonly members: object }[] = [
    { name: 'RSA without dp', alg: 'RS256', members: { dp: undefined } },
    { name: 'RSA without dq', alg: 'RS256', members: { dq: undefined } },
    { name: 'RSA without qi', alg: 'RS256', members: { qi: undefined } },
    { name: 'for encryption', alg: 'ES256', members: { use: 'enc' } },
    { name: 'for verification', alg: 'ES256', members: { key_ops: ['verify'] } },
  ]
  for (const { name, alg, members } of jwks) {
    test(`D5 a JWK is refused at creation: ${name}`, async ({ manage }) => {
      const { jwk } = await testKey(alg)
      expect(() => manage({ dpop: { ...jwk, ...members } })).toThrow(
        expect.objectContaining({ name: 'ConfigurationError', code: 'key_invalid' }),
      )
    })
  }
})

describe('who hears of nonces', () => {
  test('O1 telemetry that fails, and a store of nonces that fails, break no request', async ({ elsewhere, clock }) => {
    const ring = dpopKeyRing((await testKey('ES256')).jwk)
    const jkt = await ring.thumbprint()
    const token = createAccessToken({ accessToken: 'a', tokenType: 'DPoP', expiresAt: clock.now() + HOUR, jkt })
    const telemetry = {
      run: (_operation: unknown, work: (outcome: object) => Promise<never>) => work({}),
      note: () => {
        throw new Error('the log is full')
      },
    }
    const nonceStore = { get: () => undefined, set: () => Promise.reject(new Error('down')) }
    elsewhere.answer = ({ n }) => ({ headers: { 'dpop-nonce': n === 1 ? 'not a nonce' : 'n' } })
    const options = { dpop: ring, clock, telemetry: telemetry as never, nonceStore }
    const call = authorizedFetch(authorizerFrom(staticSource(token, { clock }), { baseUrl: elsewhere.origin }, options))
    for (let n = 0; n < 3; n++) expect((await call(elsewhere.origin)).status).toBe(200)
    expect(proofOf(elsewhere.requests.at(-1) as SeenRequest).claims.nonce).toBe('n')
  })

  test('D8 nonces of a key that nobody else has are not shared', async ({ manage, server, elsewhere }) => {
    const asked: string[] = []
    const nonceStore = {
      get: () => void asked.push('get'),
      set: () => void asked.push('set'),
    }
    server.answer = (request) => ({ ...(bound(request) as object), headers: { 'dpop-nonce': 'n' } })
    await manage({ dpop: true }, { nonceStore }).fetch('api', { baseUrl: elsewhere.origin })('x')
    expect(asked).toEqual([])
    const { jwk } = await testKey('ES256')
    await manage({ dpop: jwk }, { nonceStore }).fetch('api', { baseUrl: elsewhere.origin })('x')
    await expect.poll(() => asked).toContain('set')
  })
})
