import { generateKeyPairSync } from 'node:crypto'
import type { ClientDefinition, Signer } from 'evertoken'
import { boundedSigner, jwkThumbprint } from 'evertoken/keys'
import { nodeSigner } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { demandingNonce, nonceDemand, proofOf } from '../support/proofs.ts'

const pairOf = { ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519'], RS256: ['rsa', { modulusLength: 2048 }] }
const keyOf = (alg: 'ES256' | 'EdDSA' | 'RS256') => {
  const [kind, options] = pairOf[alg]
  return generateKeyPairSync(kind as 'ec', options as { namedCurve: string }).privateKey
}
const EC = keyOf('ES256')

/** A signer whose every signature the test decides on. */
function signerThat(sign: Signer['sign'], members: Partial<Signer> = {}): Signer {
  const { alg, publicJwk } = nodeSigner(EC)
  return { alg, publicJwk, sign, ...members }
}

/** Signs well so many times, and then as it is told. */
function signerAfter(good: number, sign: Signer['sign']): Signer {
  const real = nodeSigner(EC)
  let count = 0
  return signerThat((input, options) => (count++ < good ? real.sign(input, options) : sign(input, options)))
}

function withToken(server: HostileServer): void {
  server.answer = tokenJson({ token_type: 'DPoP' })
}

const hanging: Signer['sign'] = () => new Promise(() => {})
const FAILURES: readonly { name: string; sign: Signer['sign']; error: object }[] = [
  {
    name: 'throws',
    sign: () => {
      throw new Error('the secret key is 12345')
    },
    error: { name: 'TransportError', code: 'signer_failed', retryable: true },
  },
  {
    name: 'rejects',
    sign: () => Promise.reject(Object.assign(new Error('the secret key is 12345'), { code: 'EKMS' })),
    error: { name: 'TransportError', code: 'signer_failed', retryable: true },
  },
  {
    name: 'gives a signature that is too short',
    sign: () => new Uint8Array(63),
    error: { name: 'ConfigurationError', code: 'signature_invalid', retryable: false },
  },
  {
    name: 'gives a signature in DER',
    sign: async () => new Uint8Array(70).fill(0x30),
    error: { name: 'ConfigurationError', code: 'signature_invalid', retryable: false },
  },
  {
    name: 'gives a text',
    sign: () => 'signature' as never,
    error: { name: 'ConfigurationError', code: 'signature_invalid', retryable: false },
  },
  {
    name: 'gives nothing',
    sign: async () => undefined as never,
    error: { name: 'ConfigurationError', code: 'signature_invalid', retryable: false },
  },
]

describe('N12.06 signers that do not sign', () => {
  for (const { name, sign, error } of FAILURES) {
    test(`a signer that ${name}: the token endpoint sees no request`, async ({ manage, server, elsewhere, clock }) => {
      withToken(server)
      const tokens = manage({ dpop: signerThat(sign) })
      const call = rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('/items'))
      // Pauses between tries, where there are any.
      for (let n = 0; n < 10; n++) await clock.advance(200)
      const thrown = await call
      expect(thrown).toMatchObject(error)
      expect(thrown.message).not.toContain('12345')
      expect([server.requests.length, elsewhere.requests.length]).toEqual([0, 0])
    })

    test(`a signer that ${name} later on: the API sees no request`, async ({ manage, server, elsewhere }) => {
      withToken(server)
      const tokens = manage({ dpop: signerAfter(1, sign) })
      const thrown = await rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('/items'))
      expect(thrown).toMatchObject(error)
      expect(thrown.message).not.toContain('12345')
      expect([server.requests.length, elsewhere.requests.length]).toEqual([1, 0])
    })

    test(`a signer that ${name} when it is asked for a nonce: no other request goes out`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      withToken(server)
      elsewhere.answer = () => nonceDemand('n1')
      const tokens = manage({ dpop: signerAfter(2, sign) })
      expect(await rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('/items'))).toMatchObject(error)
      expect(elsewhere.requests).toHaveLength(1)
      expect(elsewhere.requests[0]?.headers.authorization).toMatch(/^DPoP /)
    })
  }

  test('a signer that hangs: the deadline of the token ends it, and no request goes out', async ({
    manage,
    server,
    clock,
  }) => {
    const call = rejection(manage({ dpop: signerThat(hanging) }).getToken('api'))
    await clock.untilPending()
    await clock.advance(10_000)
    expect(await call).toMatchObject({ name: 'TransportError', code: 'timeout', retryable: true })
    expect(server.requests).toHaveLength(0)
  })

  test('a signer that hangs later on: its own deadline ends it, and the API sees no request', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    withToken(server)
    const tokens = manage({ dpop: boundedSigner(signerAfter(1, hanging), { clock, deadlineMs: 300 }) })
    await tokens.getToken('api')
    const before = clock.pending
    const call = rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('/items'))
    await clock.untilPending(before + 1)
    await clock.advance(300)
    expect(await call).toMatchObject({ name: 'TransportError', code: 'signer_timeout', retryable: true })
    expect(elsewhere.requests).toHaveLength(0)
  })

  test('a caller who gives up does not wait for a signer that hangs', async ({ manage, server, elsewhere }) => {
    withToken(server)
    const tokens = manage({ dpop: signerAfter(1, hanging) })
    await tokens.getToken('api')
    const abort = new AbortController()
    const call = rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('/items', { signal: abort.signal }))
    const reason = new Error('enough')
    abort.abort(reason)
    expect(await call).toBe(reason)
    expect(elsewhere.requests).toHaveLength(0)
  })
})

describe('N12.01 what is told of a key', () => {
  for (const alg of ['ES256', 'EdDSA', 'RS256'] as const) {
    test(`${alg}: private members that a signer carries with its public key are never sent`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      withToken(server)
      const key = keyOf(alg)
      const jwk = key.export({ format: 'jwk' })
      const { sign } = nodeSigner(key)
      const chatty: Signer = { alg, sign, publicJwk: { ...jwk, kid: 'k', ext: true, key_ops: ['sign'], x5c: ['MII'] } }
      await manage({ dpop: chatty }).fetch('api', { baseUrl: elsewhere.origin })('/items')
      const { kty, crv, x, y, n, e } = jwk
      for (const request of [server.requests[0], elsewhere.requests[0]]) {
        const { header } = proofOf(request ?? { headers: {} })
        expect(header).toStrictEqual({
          typ: 'dpop+jwt',
          alg,
          jwk: JSON.parse(JSON.stringify({ kty, crv, x, y, n, e })),
        })
        const wire = JSON.stringify([request?.headers, header, request?.body])
        for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const) {
          if (jwk[member] !== undefined) expect(wire, member).not.toContain(jwk[member])
        }
      }
    })
  }

  test('a public key that changes after creation is not what proofs show', async ({ manage, server, elsewhere }) => {
    withToken(server)
    const publicJwk: Record<string, unknown> = { ...nodeSigner(EC).publicJwk }
    const tokens = manage({ dpop: { ...nodeSigner(EC), publicJwk } })
    const { jkt } = await tokens.getToken('api')
    Object.assign(publicJwk, { d: 'private', x: 'another' })
    await tokens.fetch('api', { baseUrl: elsewhere.origin })('/items')
    const { header } = proofOf(elsewhere.requests[0] ?? { headers: {} })
    expect(await jwkThumbprint(Object(header.jwk))).toBe(jkt)
    expect(header.jwk).toEqual(nodeSigner(EC).publicJwk)
  })
})

describe('N12.03 further claims', () => {
  const dpop: ClientDefinition['dpop'] = EC

  test('are in every proof of the request, behind a nonce, a redirect and another token, and in no other', async ({
    manage,
    server,
    elsewhere,
  }) => {
    withToken(server)
    elsewhere.answer = demandingNonce(
      () => 'n1',
      ({ url, n }) => {
        if (url === '/moved') return { status: 307, headers: { location: '/items' } }
        return n === 3 ? { status: 401 } : { body: '{}' }
      },
    )
    const call = manage({ dpop }).fetch('api', { baseUrl: elsewhere.origin })
    const proofClaims = { txn: 'a1', nested: { list: [1, null] } }
    expect((await call('/moved', { method: 'POST', body: 'x', proofClaims })).status).toBe(200)
    expect((await call('/items')).status).toBe(200)
    const claims = elsewhere.requests.map((request) => proofOf(request).claims)
    expect(claims.map(({ txn }) => txn)).toEqual(['a1', 'a1', 'a1', 'a1', undefined])
    expect(claims[0]).toMatchObject(proofClaims)
    for (const request of server.requests) expect(proofOf(request).claims).not.toHaveProperty('txn')
  })

  const circular: Record<string, unknown> = {}
  circular.self = circular
  const wrong: readonly { name: string; proofClaims: unknown; says: string }[] = [
    ...['jti', 'htm', 'htu', 'iat', 'ath', 'nonce'].map((claim) => ({
      name: `the claim ${claim}`,
      proofClaims: { txn: 'a1', [claim]: 'mine' },
      says: `got "${claim}"`,
    })),
    { name: 'the claim nonce of undefined', proofClaims: { nonce: undefined }, says: 'got "nonce"' },
    { name: 'a list', proofClaims: ['txn'], says: 'an object of claims' },
    { name: 'null', proofClaims: null, says: 'an object of claims' },
    { name: 'a text', proofClaims: 'txn', says: 'an object of claims' },
    { name: 'a number that JSON has not', proofClaims: { txn: 7n }, says: 'proofClaims: expected' },
    { name: 'an object that contains itself', proofClaims: circular, says: 'proofClaims: expected' },
    {
      name: 'a claim that throws',
      proofClaims: {
        txn: {
          toJSON() {
            throw new Error('no')
          },
        },
      },
      says: 'proofClaims: expected',
    },
  ]
  for (const { name, proofClaims, says } of wrong) {
    test(`${name}: refused, and the API sees no request`, async ({ manage, server, elsewhere }) => {
      withToken(server)
      const call = manage({ dpop }).fetch('api', { baseUrl: elsewhere.origin })
      const error = await rejection(call('/items', { proofClaims: proofClaims as Record<string, unknown> }))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'proof_claims_invalid' })
      expect(error.message).toContain(says)
      expect(error.message).not.toContain('mine')
      expect(elsewhere.requests).toHaveLength(0)
    })
  }
})
