import { inspect } from 'node:util'
import {
  attestJwtClientAuth,
  type ClientAuthentication,
  clientAssertion,
  clientSecretBasic,
  privateKeyJwt,
} from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { keyRing } from 'evertoken/keys'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { describe, expect } from 'vitest'
import { createAttester } from '../support/attestation.ts'
import { rejection, test } from '../support/fixtures.ts'
import { askFor, grantClient } from '../support/grants.ts'
import { dated, withMetadata } from '../support/handlers.ts'
import { type Answer, errorJson, hang, type SeenRequest } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'
import { accepting, nonceRefusal, proofOf } from '../support/proofs.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const issued = { issuer: 'https://as.example' }
const [k1, k2, k3] = await Promise.all(['k1', 'k2', 'k3'].map((kid) => createTestKey('ES256', kid)))
const keys = [k1, k2, k3].map((key) => ({ key: Object(key).jwk }))
const dpopKey = await createTestKey('ES256', 'dpop')
const dpop = dpopKey.jwk

const assertionOf = ({ form }: SeenRequest) => form.get('client_assertion') ?? ''
const kidOf = (request: SeenRequest) => decodeProtectedHeader(assertionOf(request)).kid
const nonceOf = (request: SeenRequest) => proofOf(request).claims.nonce
const distinct = (values: readonly unknown[]) => new Set(values).size
const withNonce = (answer: Answer, nonce: string): Answer => ({ ...Object(answer), headers: { 'dpop-nonce': nonce } })
const refusal = errorJson(401, 'invalid_client')

describe('N12.07 nonces beside other reasons for another attempt', () => {
  const orders: readonly {
    readonly name: string
    readonly answer: (request: SeenRequest) => Answer | Promise<Answer>
    readonly seen: readonly (readonly [string, string | undefined])[]
  }[] = [
    {
      name: 'the client first, as a provider looks at it',
      answer: (request) => (kidOf(request) === 'k1' ? demand(request) : refusal),
      seen: [
        ['k3', undefined],
        ['k2', undefined],
        ['k1', undefined],
        ['k1', 'n-1'],
      ],
    },
    {
      name: 'the proof first',
      answer: (request) => (nonceOf(request) === 'n-1' && kidOf(request) !== 'k1' ? refusal : demand(request)),
      seen: [
        ['k3', undefined],
        ['k3', 'n-1'],
        ['k2', 'n-1'],
        ['k1', 'n-1'],
      ],
    },
    {
      name: 'a nonce along with the refusal of the client',
      answer: (request) => (kidOf(request) === 'k1' ? demand(request) : withNonce(refusal, 'n-1')),
      seen: [
        ['k3', undefined],
        ['k2', 'n-1'],
        ['k1', 'n-1'],
      ],
    },
  ]
  function demand(request: SeenRequest): Answer | Promise<Answer> {
    return nonceOf(request) === 'n-1' ? accepting(request) : nonceRefusal('n-1')
  }

  for (const { name, answer, seen } of orders) {
    test(`N12.07 A3 A9 a ring whose newest keys are not known yet: ${name}`, async ({ manage, server, clock }) => {
      server.answer = async (request) => dated(await answer(request), clock.wallTime())
      const authentication = privateKeyJwt(keyRing(keys, { clock }))
      const tokens = manage({ ...issued, authentication, dpop })
      await tokens.getToken('api')
      expect(server.requests.map((request) => [kidOf(request), nonceOf(request)])).toEqual(seen)
      expect(distinct(server.requests.map((request) => decodeJwt(assertionOf(request)).jti))).toBe(seen.length)
      expect(distinct(server.requests.map((request) => proofOf(request).claims.jti))).toBe(seen.length)
      // Key and nonce are known from now on.
      await tokens.getToken('api', {}, { forceRenewal: true })
      expect(server.requests).toHaveLength(seen.length + 1)
    })
  }

  test('N12.07 A3 a ring that nobody knows, at a server that gives a nonce with every answer: one request for every key', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = ({ n }) => dated(withNonce(refusal, `n-${n}`), clock.wallTime())
    const authentication = privateKeyJwt(keyRing(keys, { clock }))
    const error = await rejection(manage({ ...issued, authentication, dpop }).getToken('api'))
    expect(error).toMatchObject({ error: 'invalid_client', code: 'client_refused' })
    expect(server.requests.map(nonceOf)).toEqual([undefined, 'n-1', 'n-2'])
  })

  test('N12.07 A12 an attestation challenge and a nonce: each is answered once', async ({ manage, server, clock }) => {
    const attester = await createAttester({ now: () => clock.wallTime() })
    const challengeOf = ({ headers }: SeenRequest) =>
      decodeJwt(String(headers['oauth-client-attestation-pop'])).challenge
    server.answer = (request) => {
      if (challengeOf(request) !== 'c-1') {
        const headers = { 'oauth-client-attestation-challenge': 'c-1' }
        return { ...Object(errorJson(400, 'use_attestation_challenge')), headers }
      }
      return nonceOf(request) === 'n-1' ? accepting(request) : nonceRefusal('n-1')
    }
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest), dpop })
    await tokens.getToken('api')
    expect(server.requests.map((request) => [challengeOf(request), nonceOf(request)])).toEqual([
      [undefined, undefined],
      ['c-1', undefined],
      ['c-1', 'n-1'],
    ])
    const popJtis = server.requests.map(({ headers }) => decodeJwt(String(headers['oauth-client-attestation-pop'])).jti)
    expect(distinct(popJtis)).toBe(3)
    expect(attester.asked).toHaveLength(1)
  })

  test('N12.07 A12 a challenge that comes along with the demand is used in the same attempt', async ({
    manage,
    server,
    clock,
  }) => {
    const attester = await createAttester({ now: () => clock.wallTime() })
    server.answer = (request) => {
      if (nonceOf(request) === 'n-1') return accepting(request)
      const headers = { 'dpop-nonce': 'n-1', 'oauth-client-attestation-challenge': 'c-1' }
      return { ...Object(nonceRefusal('n-1')), headers }
    }
    await manage({ ...issued, authentication: attestJwtClientAuth(attester.attest), dpop }).getToken('api')
    const [, second] = server.requests as [SeenRequest, SeenRequest]
    expect(decodeJwt(String(second.headers['oauth-client-attestation-pop']))).toMatchObject({ challenge: 'c-1' })
    expect(server.requests).toHaveLength(2)
  })

  const fixed = { type: JWT_BEARER, value: 'made.else.where' }
  const made: readonly { readonly name: string; readonly members: object; readonly request: object }[] = [
    { name: 'the client', members: { authentication: clientAssertion(fixed) }, request: {} },
    {
      name: 'the request',
      members: { authentication: clientSecretBasic('a-long-enough-secret') },
      request: { clientAssertion: fixed },
    },
  ]
  for (const { name, members, request } of made) {
    test(`N12.07 A1 an assertion that ${name} brings goes along with the other proof as it is`, async ({
      manage,
      server,
    }) => {
      server.answer = demand
      await manage({ ...members, dpop }).getToken('api', request)
      expect(server.requests.map(assertionOf)).toEqual([fixed.value, fixed.value])
      expect(server.requests.map(nonceOf)).toEqual([undefined, 'n-1'])
    })
  }

  test('N12.07 A2 F9.02 an assertion function and a central service are asked again', async ({ manage, server }) => {
    let asked = 0
    const next = () => ({ type: JWT_BEARER, value: `assertion-${++asked}` })
    server.answer = demand
    await manage({ authentication: clientAssertion(next), dpop }).getToken('api')
    await manage({ dpop }, { clientAssertion: next }).getToken('api')
    const values = ['assertion-1', 'assertion-2', 'assertion-3', 'assertion-4']
    expect(server.requests.map(assertionOf)).toEqual(values)
  })

  test('N12.07 an authentication that never gives up ends all the same, whatever nonces come along', async ({
    manage,
    server,
  }) => {
    server.answer = ({ n }) => (n % 2 === 0 ? withNonce(refusal, `n-${n}`) : nonceRefusal(`n-${n}`))
    const authentication: ClientAuthentication = { method: 'own', apply: () => ({ next: () => authentication }) }
    const error = await rejection(manage({ authentication, dpop }).getToken('api'))
    expect(error.name).toBe('TokenEndpointError')
    expect(server.requests).toHaveLength(8)
  })
})

describe('N12.07 a caller that goes while a demand is answered', () => {
  test('is told of its own reason, and no third request leaves', async ({ server, clock }) => {
    const leaving = new AbortController()
    const reason = new Error('the user has gone')
    server.answer = withMetadata(({ n }) => (n === 2 ? nonceRefusal('n-1') : hang))
    const ring = dpopKeyRing(dpop, { clock })
    const client = grantClient({ issuer: server.origin, clientId: 'machine', ring, clock })
    const asked = { authentication: clientSecretBasic('a-long-enough-secret'), jkt: await ring.thumbprint() }
    const grant = { grantType: 'refresh_token', refresh_token: 'the refresh token' }
    const pending = rejection(askFor(client, grant, { ...asked, signal: leaving.signal }))
    await expect.poll(() => server.requests.length).toBe(3)
    leaving.abort(reason)
    expect(await pending).toBe(reason)
    expect(server.requests).toHaveLength(3)
  })

  test('before the second request has left, leaves none behind', async ({ server, clock }) => {
    const leaving = new AbortController()
    const reason = new Error('the user has gone')
    server.answer = withMetadata(() => nonceRefusal('n-1'))
    const ring = dpopKeyRing(dpop, { clock })
    const client = grantClient({ issuer: server.origin, clientId: 'machine', ring, clock })
    let asked = 0
    const authentication: ClientAuthentication = {
      method: 'own',
      apply() {
        asked += 1
        if (asked === 2) leaving.abort(reason)
      },
    }
    const grant = { grantType: 'refresh_token', refresh_token: 'the refresh token' }
    const jkt = await ring.thumbprint()
    expect(await rejection(askFor(client, grant, { authentication, jkt, signal: leaving.signal }))).toBe(reason)
    expect(client.sent).toHaveLength(1)
  })

  test('goes at once at the public door too', async ({ manage, server }) => {
    server.answer = (request) => (request.n === 1 ? nonceRefusal('n-1') : request.n === 2 ? hang : accepting(request))
    const leaving = new AbortController()
    const reason = new Error('the user has gone')
    const tokens = manage({ dpop })
    const pending = rejection(tokens.getToken('api', {}, { signal: leaving.signal }))
    await expect.poll(() => server.requests.length).toBe(2)
    leaving.abort(reason)
    expect(await pending).toBe(reason)
  })
})

describe('leaks of proofs', () => {
  const quotes: readonly { readonly name: string; readonly quote: (proof: string) => string }[] = [
    { name: 'whole', quote: (proof) => proof },
    { name: 'in a sentence', quote: (proof) => `the proof "${proof}" is not good` },
    { name: 'percent-encoded', quote: encodeURIComponent },
    { name: 'in capitals', quote: (proof) => proof.toUpperCase() },
    { name: 'cut', quote: (proof) => `the proof ${proof.slice(0, 150)}... is not good` },
    { name: 'in base64', quote: (proof) => Buffer.from(proof).toString('base64') },
  ]
  for (const { name, quote } of quotes) {
    for (const error of ['use_dpop_nonce', 'invalid_dpop_proof', 'invalid_grant']) {
      test(`N12.06 a server that quotes the proof ${name} in ${error} is not quoted`, async ({ manage, server }) => {
        server.answer = ({ headers }) =>
          errorJson(400, error, {
            error_description: quote(String(headers.dpop)),
            error_uri: quote(String(headers.dpop)),
          })
        const thrown = await rejection(manage({ dpop }).getToken('api'))
        const [first] = server.requests as [SeenRequest]
        const shown = [inspect(thrown, { depth: 9 }), JSON.stringify(thrown), thrown.message, String(thrown)].join()
        expect(thrown.message).toContain('[redacted]')
        // No stretch of it.
        for (const part of String(first.headers.dpop).match(/.{30}/g) ?? []) {
          for (const form of [part, part.toUpperCase(), Buffer.from(part).toString('base64')]) {
            expect(shown).not.toContain(form)
          }
        }
      })
    }
  }
})
