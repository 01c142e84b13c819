import {
  attestJwtClientAuth,
  type ClientAuthentication,
  type Clock,
  clientAssertion,
  createTokenManager,
  privateKeyJwt,
} from 'evertoken'
import { keyRing } from 'evertoken/keys'
import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose'
import { describe, expect } from 'vitest'
import { createAttester } from '../support/attestation.ts'
import { rejection, test } from '../support/fixtures.ts'
import { withMetadata } from '../support/handlers.ts'
import { type Answer, errorJson, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'

const issued = { issuer: 'https://as.example' }
const k1 = await createTestKey('ES256', 'k1')
const k2 = await createTestKey('ES256', 'k2')

const kidOf = ({ form }: SeenRequest) => decodeProtectedHeader(form.get('client_assertion') ?? '').kid
const dated = (answer: unknown, at: number): Answer =>
  ({ ...(answer as object), headers: { date: new Date(at).toUTCString() } }) as Answer
const refusal = errorJson(401, 'invalid_client')

/** Looks into the dates of an assertion as a server does whose clock is ahead. */
function datesFit(jwt: string, now: number): boolean {
  const { iat = 0, exp = Number.POSITIVE_INFINITY } = decodeJwt(jwt)
  return iat * 1000 <= now && now < exp * 1000
}

describe('another attempt', () => {
  test('A3 A9 A10 is not lost behind a central service that says "not my client"', async ({
    manage,
    server,
    clock,
  }) => {
    const ahead = 90_000
    server.answer = (request) => {
      const now = clock.wallTime() + ahead
      const isGood = kidOf(request) === 'k1' && datesFit(request.form.get('client_assertion') ?? '', now)
      return dated(isGood ? tokenJson()(request) : refusal, now)
    }
    const authentication = privateKeyJwt(keyRing([{ key: k1.jwk }, { key: k2.jwk }], { clock }))
    const asked: (Clock | undefined)[] = []
    const service = async ({ clock: told }: { readonly clock?: Clock | undefined }) => void asked.push(told)
    const tokens = manage({ ...issued, authentication }, { clientAssertion: service as never })
    await tokens.getToken('api')
    expect(server.requests.map(kidOf)).toEqual(['k2', 'k2', 'k1'])
    await tokens.getToken('api', {}, { forceRenewal: true })
    // The service sees the server's time once that is known.
    expect(asked.map((told) => Number(told?.wallTime()) - clock.wallTime() > 80_000)).toEqual([false, true])
  })

  const strange: readonly { readonly name: string; readonly next: () => never }[] = [
    {
      name: 'throws',
      next: () => {
        throw new Error('no idea')
      },
    },
  ]
  for (const { name, next } of strange) {
    const authentication: ClientAuthentication = { method: 'own', apply: () => ({ next }) }

    test(`of an authentication of one's own that ${name}: a typed error`, async ({ manage, server }) => {
      server.answer = () => refusal
      const error = await rejection(manage({ authentication }).getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'client_authentication_failed' })
      expect(error.cause).toMatchObject({ message: 'no idea' })
    })

    test(`of an authentication of one's own that ${name} costs no token that was granted`, async ({ manage }) => {
      expect((await manage({ authentication }).getToken('api')).accessToken).toBe('token-1')
    })
  }

  test('of an authentication that never gives up ends all the same', async ({ manage, server }) => {
    server.answer = () => refusal
    const authentication: ClientAuthentication = { method: 'own', apply: () => ({ next: () => authentication }) }
    await rejection(manage({ authentication }).getToken('api'))
    expect(server.requests).toHaveLength(8)
  })

  test('A10 an assertion function may use the clock that it is told, whatever made it', async ({ manage, clock }) => {
    class PrivateClock implements Clock {
      readonly #inner = clock
      now = (): number => this.#inner.now()
      wallTime(): number {
        return this.#inner.wallTime()
      }
      setTimer(callback: () => void, delayMs: number): () => void {
        return this.#inner.setTimer(callback, delayMs)
      }
    }
    const authentication = clientAssertion(({ clock: told }) => {
      told?.setTimer(() => {}, 1)()
      return { type: 'urn:example:type', value: 'value' }
    })
    await manage({ authentication }, { clock: new PrivateClock() }).getToken('api')
  })

  test('N7.02 A12 a server whose aliases and challenge endpoint are unusable keeps nobody from a token who needs neither', async ({
    manage,
    server,
  }) => {
    server.answer = withMetadata(tokenJson(), {
      mtls_endpoint_aliases: { token_endpoint: null, revocation_endpoint: 'no url' },
      challenge_endpoint: 'http://elsewhere.example/challenge',
    })
    const authentication = privateKeyJwt(k1.jwk)
    await manage({ issuer: server.origin, tokenEndpoint: undefined, authentication }).getToken('api')
  })
})

describe('A12 an instance under load', () => {
  test('A12 a herd asks the attester once', async ({ manage, server }) => {
    const attester = await createAttester()
    const tokens = manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) })
    await Promise.all(Array.from({ length: 20 }, (_, n) => tokens.getToken('api', { scope: `scope-${n}` })))
    expect([attester.asked.length, server.requests.length]).toEqual([1, 20])
  })

  test('A12 one caller’s abort splits no key: every proof verifies with the attestation beside it', async () => {
    const attester = await createAttester()
    const made: ((key: never) => void)[] = []
    const authentication = attestJwtClientAuth(attester.attest, {
      keyFor: () => new Promise((resolve) => made.push(resolve as never)),
    })
    const tokenEndpoint = new URL('https://as.example/token')
    const client = { clientName: 'api', clientId: 'machine', issuer: 'https://as.example', tokenEndpoint }
    const apply = (signal?: AbortSignal) => {
      const draft = { url: tokenEndpoint, body: new URLSearchParams(), headers: new Headers() }
      return { draft, applied: Promise.resolve(authentication.apply(draft, client, { signal })) }
    }
    const leaving = new AbortController()
    const first = apply(leaving.signal)
    const second = apply()
    leaving.abort(new Error('gone'))
    expect((await rejection(first.applied)).message).toBe('gone')
    const third = apply()
    await expect.poll(() => made.length).toBe(1)
    for (const resolve of made) resolve(k1.jwk as never)
    await Promise.all([second.applied, third.applied])
    const fourth = apply()
    await fourth.applied
    expect(made).toHaveLength(1)
    for (const { draft } of [second, third, fourth]) {
      const { cnf } = decodeJwt<{ cnf: { jwk: object } }>(draft.headers.get('oauth-client-attestation') ?? '')
      await jwtVerify(draft.headers.get('oauth-client-attestation-pop') ?? '', await importJWK(cnf.jwk, 'ES256'))
    }
  })

  for (const error of ['invalid_client', 'invalid_client_attestation']) {
    for (const aheadMs of [-90_000, -1500]) {
      test(`A12 A10 a server ${-aheadMs} ms behind that answers ${error} gets a proof that it takes`, async ({
        manage,
        server,
        clock,
      }) => {
        const attester = await createAttester({ now: () => clock.wallTime() - 3_600_000, lifetimeSeconds: 36_000 })
        server.answer = (request) => {
          const now = clock.wallTime() + aheadMs
          const isGood = datesFit(String(request.headers['oauth-client-attestation-pop']), now)
          return dated(isGood ? tokenJson()(request) : errorJson(401, error), now)
        }
        await manage({ ...issued, authentication: attestJwtClientAuth(attester.attest) }).getToken('api')
        expect(server.requests).toHaveLength(aheadMs === -1500 ? 1 : 2)
      })
    }
  }

  test('A12 an attester that hangs is asked again after its own deadline', async ({ server, clock }) => {
    const attester = await createAttester()
    let hangs = true
    const authentication = attestJwtClientAuth((request) =>
      hangs ? new Promise<never>(() => {}) : attester.attest(request),
    )
    const client = { ...issued, tokenEndpoint: server.tokenEndpoint, clientId: 'machine', authentication }
    const tokens = createTokenManager({ clients: { api: client }, clock, deadlineMs: 60_000 })
    const pending = rejection(tokens.getToken('api'))
    await clock.untilPending(2)
    await clock.advance(10_000)
    expect((await pending).code).toBe('attestation_timeout')
    hangs = false
    await tokens.getToken('api', {}, { forceRenewal: true })
    await tokens.close()
  })
})
