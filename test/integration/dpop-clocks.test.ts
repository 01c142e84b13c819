import { type Clock, clientSecretBasic, none, privateKeyJwt } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { askFor, grantClient } from '../support/grants.ts'
import { dated } from '../support/handlers.ts'
import { type Answer, errorJson, type SeenRequest } from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'
import { accepting, nonceRefusal, proofOf } from '../support/proofs.ts'
import { systemClock } from '../support/system-clock.ts'
import {
  authorizationRequest,
  CONFIDENTIAL,
  PUBLIC,
  REDIRECT_URI,
  signIn,
  startWebProvider,
} from '../support/web-provider.ts'

const { jwk } = await testKey('ES256')
const { jwk: dpopJwk } = await testKey('EdDSA')
const FIVE_MINUTES = 300_000
const both = [
  { name: 'behind', aheadMs: FIVE_MINUTES },
  { name: 'ahead', aheadMs: -FIVE_MINUTES },
]

const iatOf = (request: SeenRequest) => Number(proofOf(request).claims.iat) * 1000
const nonceOf = (request: SeenRequest) => proofOf(request).claims.nonce
const isNear = (request: SeenRequest, now: number) => Math.abs(iatOf(request) - now) <= 60_000
const refusal = errorJson(400, 'invalid_dpop_proof', { error_description: 'DPoP proof iat is not recent enough' })

describe('N12.13 a client whose clock is five minutes wrong', () => {
  for (const { name, aheadMs } of both) {
    test(`N12.13 ${name}: the server's Date costs one more request, once`, async ({
      manage,
      server,
      clock,
      recorder,
    }) => {
      server.answer = (request) => {
        const now = clock.wallTime() + aheadMs
        return dated(isNear(request, now) ? (accepting(request) as Answer) : refusal, now)
      }
      const tokens = manage({ dpop: dpopJwk })
      await tokens.getToken('api')
      expect(server.requests).toHaveLength(2)
      const [first, second] = server.requests as [SeenRequest, SeenRequest]
      expect(proofOf(second).claims.jti).not.toBe(proofOf(first).claims.jti)
      await tokens.getToken('api', {}, { forceRenewal: true })
      expect(server.requests).toHaveLength(3)
      const skews = recorder.events.filter(({ name }) => name === 'clock_skew')
      expect(skews).toEqual([{ name: 'clock_skew', client: 'api', skewMs: expect.any(Number) }])
    })

    test(`N12.13 ${name}: a nonce will do where the server gives no Date`, async ({ manage, server, clock }) => {
      server.answer = (request) => {
        const isGood = nonceOf(request) === 'n-1' || isNear(request, clock.wallTime() + aheadMs)
        return dated(isGood ? (accepting(request) as Answer) : nonceRefusal('n-1'), undefined)
      }
      const tokens = manage({ dpop: dpopJwk })
      await tokens.getToken('api')
      await tokens.getToken('api', {}, { forceRenewal: true })
      expect(server.requests.map(nonceOf)).toEqual([undefined, 'n-1', 'n-1'])
    })

    test(`N12.13 ${name}: nonce and Date in one refusal are used in one request`, async ({ manage, server, clock }) => {
      server.answer = (request) => {
        const now = clock.wallTime() + aheadMs
        const isGood = nonceOf(request) === 'n-1' && isNear(request, now)
        const refused = { ...Object(refusal), headers: { 'dpop-nonce': 'n-1' } }
        return dated(isGood ? (accepting(request) as Answer) : refused, now)
      }
      await manage({ dpop: dpopJwk }).getToken('api')
      expect(server.requests).toHaveLength(2)
    })

    test(`N12.13 ${name}: a nonce first and the clock after it are two reasons, each good for one request`, async ({
      manage,
      server,
      clock,
    }) => {
      server.answer = (request) => {
        const now = clock.wallTime() + aheadMs
        if (nonceOf(request) === undefined) return dated(nonceRefusal('n-1'), now)
        return dated(isNear(request, now) ? (accepting(request) as Answer) : refusal, now)
      }
      await manage({ dpop: dpopJwk }).getToken('api')
      expect(server.requests).toHaveLength(3)
    })

    test(`N12.13 ${name}: a server that refuses its own time too is asked twice, and the skew is in the error`, async ({
      manage,
      server,
      clock,
    }) => {
      server.answer = () => dated(refusal, clock.wallTime() + aheadMs)
      const error = await rejection(manage({ dpop: dpopJwk }).getToken('api'))
      expect(error).toMatchObject({
        name: 'TokenEndpointError',
        code: 'proof_refused',
        error: 'invalid_dpop_proof',
        retryable: false,
      })
      expect(Math.abs(Number(error.clockSkewMs) - aheadMs)).toBeLessThan(2000)
      expect(error.message).toContain('s ahead of this machine')
      expect(server.requests).toHaveLength(2)
    })

    test(`N12.13 ${name}: without Date and nonce a refusal stands`, async ({ manage, server }) => {
      server.answer = () => dated(refusal, undefined)
      const error = await rejection(manage({ dpop: dpopJwk }).getToken('api'))
      expect(error).toMatchObject({ code: 'proof_refused', error: 'invalid_dpop_proof' })
      expect(error.clockSkewMs).toBeUndefined()
      expect(server.requests).toHaveLength(1)
    })

    test(`N12.13 ${name}: an assertion and a proof are dated anew together`, async ({ manage, server, clock }) => {
      server.answer = (request) => {
        const now = clock.wallTime() + aheadMs
        const { iat = 0, exp = 0 } = decodeJwt(request.form.get('client_assertion') ?? '')
        if (iat * 1000 > now || now >= exp * 1000) return dated(errorJson(401, 'invalid_client'), now)
        return dated(isNear(request, now) ? (accepting(request) as Answer) : refusal, now)
      }
      const authentication = privateKeyJwt(jwk)
      await manage({ issuer: 'https://as.example', authentication, dpop: dpopJwk }).getToken('api')
      expect(server.requests).toHaveLength(2)
    })
  }

  test('N12.13 a server whose Date never agrees with it is not followed for ever', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = ({ n }) => dated(refusal, clock.wallTime() + n * FIVE_MINUTES)
    const tokens = manage({ dpop: dpopJwk })
    for (let call = 1; call <= 3; call++) {
      expect(await rejection(tokens.getToken('api', {}, { forceRenewal: true }))).toMatchObject({
        error: 'invalid_dpop_proof',
      })
      expect(server.requests).toHaveLength(2 * call)
    }
  })

  test('N12.13 with new nonces and new times for ever there are three requests at the most', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = ({ n }) => {
      const answer = n % 2 === 0 ? refusal : nonceRefusal(`n-${n}`)
      const headers = { 'dpop-nonce': `n-${n}` }
      return dated({ ...Object(answer), headers }, clock.wallTime() + n * FIVE_MINUTES)
    }
    const tokens = manage({ dpop: dpopJwk, authentication: clientSecretBasic('a-long-enough-secret') })
    const error = await rejection(tokens.getToken('api'))
    expect(error).toMatchObject({ name: 'TokenEndpointError', retryable: false })
    expect(server.requests.length).toBeLessThanOrEqual(3)
  })
})

describe('N12.13 the same at a real provider', () => {
  /** A clock that is wrong by more than the five minutes that the provider bears. */
  const wrongBy = (ms: number): Clock => ({ ...systemClock, wallTime: () => systemClock.wallTime() + ms })
  const [ahead, behind] = [400_000, -400_000]
  const rows = [
    ...[ahead, behind].flatMap((byMs) => [
      { nonces: 'none', clientId: PUBLIC, byMs, tries: 2 } as const,
      { nonces: 'offered', clientId: PUBLIC, byMs, tries: 2 } as const,
      { nonces: 'required', clientId: PUBLIC, byMs, tries: 2 } as const,
      { nonces: 'none', clientId: CONFIDENTIAL, byMs, tries: 2 } as const,
      { nonces: 'offered', clientId: CONFIDENTIAL, byMs, tries: 2 } as const,
    ]),
    // The provider bears assertions of the future, so that only the nonce is missing.
    { nonces: 'required', clientId: CONFIDENTIAL, byMs: ahead, tries: 2 } as const,
    { nonces: 'required', clientId: CONFIDENTIAL, byMs: behind, tries: 3 } as const,
  ]
  for (const { nonces, clientId, byMs, tries } of rows) {
    test(`N12.13 F9.02 ${clientId} client, nonces ${nonces}, clock wrong by ${byMs} ms: ${tries} requests with one code`, async ({
      startProvider,
    }) => {
      const provider = await startWebProvider(startProvider, nonces)
      const ring = dpopKeyRing(dpopJwk)
      const client = grantClient({ issuer: provider.issuer, clientId, ring, clock: wrongBy(byMs) })
      const { parameters, verifier } = authorizationRequest()
      const code = await signIn(provider, { ...parameters, client_id: clientId })
      const authentication = clientId === PUBLIC ? none() : privateKeyJwt(jwk)
      const asked = { authentication, jkt: await ring.thumbprint() }
      const grant = { grantType: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
      const { token, refreshToken } = await askFor(client, grant, asked)
      expect(token.jkt).toBe(asked.jkt)
      expect(client.sent).toHaveLength(tries)
      expect(new Set(client.sent.map(({ form }) => form.get('code'))).size).toBe(1)
      // What was learned is good for the next grant.
      await askFor(client, { grantType: 'refresh_token', refresh_token: String(refreshToken) }, asked)
      expect(client.sent).toHaveLength(tries + 1)
    })
  }
})
