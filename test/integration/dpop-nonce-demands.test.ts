import { clientSecretBasic } from 'evertoken'
import { type DPoPKeyRing, dpopKeyRing } from 'evertoken/dpop'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { grantClient, push } from '../support/grants.ts'
import { withMetadata } from '../support/handlers.ts'
import {
  type Answer,
  errorJson,
  type Handler,
  type HostileServer,
  type SeenRequest,
} from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'
import { accepting, nonceRefusal, proofOf } from '../support/proofs.ts'
import type { TestClock } from '../support/test-clock.ts'

const { jwk } = await testKey('ES256')
const authentication = clientSecretBasic('a-long-enough-secret')

const nonceOf = (request: SeenRequest) => proofOf(request).claims.nonce
const jtiOf = (request: SeenRequest) => proofOf(request).claims.jti

interface Context {
  readonly server: HostileServer
  readonly clock: TestClock
  readonly ring: DPoPKeyRing
  readonly manage: (members: object) => {
    getToken(name: 'api', request?: object, options?: object): Promise<unknown>
    revoke(name: 'api'): Promise<void>
  }
}

/** One client with one memory for nonces, and what it asks of one endpoint, again and again. */
type Caller = (context: Context) => Promise<() => Promise<unknown>>

const endpoints: Readonly<Record<string, { readonly path: string; readonly start: Caller }>> = {
  token: {
    path: '/token',
    async start({ manage, server, ring }) {
      const tokens = manage({ issuer: server.origin, tokenEndpoint: undefined, authentication, dpop: ring })
      return () => tokens.getToken('api', {}, { forceRenewal: true })
    },
  },
  'pushed authorization request': {
    path: '/request',
    async start({ server, ring, clock }) {
      const client = grantClient({ issuer: server.origin, clientId: 'machine', ring, clock })
      const asked = { authentication, jkt: await ring.thumbprint() }
      return () => push(client, { response_type: 'code', redirect_uri: 'https://client.example/callback' }, asked)
    },
  },
  revocation: {
    path: '/revoke',
    async start({ manage, server, ring }) {
      const tokens = manage({ issuer: server.origin, tokenEndpoint: undefined, authentication, dpop: ring })
      return async () => {
        await tokens.getToken('api')
        await tokens.revoke('api')
      }
    },
  },
}

/** Leaves one endpoint to a handler; the others take what they get and give no nonce. */
function at(path: string, handler: Handler): Handler {
  return withMetadata((request) => (request.url === path ? handler(request) : accepting(request)))
}

for (const [endpoint, { path, start }] of Object.entries(endpoints)) {
  describe(`N12.07 N12.08 nonces at the ${endpoint} endpoint`, () => {
    const seenBy = ({ requests }: HostileServer) => requests.filter(({ url }) => url === path)

    test(`N12.07 D2 ${endpoint}: a demand is answered once, with a proof of its own, and the nonce is kept`, async ({
      server,
      clock,
      manage,
      recorder,
    }) => {
      server.answer = at(path, (request) => (nonceOf(request) === 'n-1' ? accepting(request) : nonceRefusal('n-1')))
      const call = await start({ server, clock, manage, ring: dpopKeyRing(jwk, { clock }) })
      await call()
      await call()
      expect(seenBy(server).map(nonceOf)).toEqual([undefined, 'n-1', 'n-1'])
      expect(new Set(seenBy(server).map(jtiOf)).size).toBe(3)
      const [first] = seenBy(server) as [SeenRequest]
      expect(proofOf(first).claims).toMatchObject({ htm: 'POST', htu: server.origin + path })
      expect(proofOf(first).claims).not.toHaveProperty('ath')
      const isObserved = endpoint !== 'pushed authorization request'
      const retries = recorder.events.filter(({ name }) => name === 'proof_retried')
      expect(retries).toEqual(isObserved ? [{ name: 'proof_retried', client: 'api', error: 'use_dpop_nonce' }] : [])
    })

    test(`N12.08 F9.01 ${endpoint}: a nonce that comes with success is used next, and costs no request`, async ({
      server,
      clock,
      manage,
    }) => {
      let round = 0
      server.answer = at(path, (request) => {
        const isFirst = round === 0
        if (!isFirst && nonceOf(request) !== `n-${round}`) return nonceRefusal(`n-${round}`)
        round += 1
        return { ...Object(accepting(request)), headers: { 'dpop-nonce': `n-${round}` } }
      })
      const call = await start({ server, clock, manage, ring: dpopKeyRing(jwk, { clock }) })
      for (let turn = 0; turn < 4; turn++) await call()
      expect(seenBy(server).map(nonceOf)).toEqual([undefined, 'n-1', 'n-2', 'n-3'])
    })

    test(`N12.08 ${endpoint}: a nonce that a refusal of another kind brought is used next`, async ({
      server,
      clock,
      manage,
    }) => {
      const refusal: Answer = { ...Object(errorJson(400, 'invalid_target')), headers: { 'dpop-nonce': 'n-1' } }
      server.answer = at(path, (request) => (nonceOf(request) === 'n-1' ? accepting(request) : refusal))
      const call = await start({ server, clock, manage, ring: dpopKeyRing(jwk, { clock }) })
      expect(await rejection(call())).toMatchObject({ error: 'invalid_target', code: 'request_refused' })
      await call()
      expect(seenBy(server).map(nonceOf)).toEqual([undefined, 'n-1'])
    })

    const vain: readonly {
      readonly name: string
      readonly nonce: (n: number) => string | readonly string[] | undefined
      readonly tries: number
    }[] = [
      { name: 'a second demand with another nonce', nonce: (n) => `n-${n}`, tries: 2 },
      { name: 'the same nonce again', nonce: () => 'n', tries: 2 },
      { name: 'no nonce', nonce: () => undefined, tries: 1 },
      { name: 'an empty nonce', nonce: () => '', tries: 1 },
      { name: 'a nonce with a space', nonce: () => 'a b', tries: 1 },
      { name: 'a nonce with a quote', nonce: () => 'a"b', tries: 1 },
      { name: 'two nonces', nonce: () => ['a', 'b'], tries: 1 },
    ]
    for (const { name, nonce, tries } of vain) {
      test(`N12.07 N12.11 ${endpoint}: ${name} ends in a typed error`, async ({ server, clock, manage }) => {
        let asked = 0
        server.answer = at(path, () => nonceRefusal(nonce(++asked)))
        const call = await start({ server, clock, manage, ring: dpopKeyRing(jwk, { clock }) })
        const error = await rejection(call())
        expect(error).toMatchObject({
          name: 'TokenEndpointError',
          code: 'proof_refused',
          error: 'use_dpop_nonce',
          status: 400,
          retryable: false,
        })
        expect(seenBy(server)).toHaveLength(tries)
      })
    }

    test(`N12.07 ${endpoint}: a demand of the nonce that the proof had is no reason for another try`, async ({
      server,
      clock,
      manage,
    }) => {
      let isContent = true
      server.answer = at(path, (request) =>
        isContent ? { ...Object(accepting(request)), headers: { 'dpop-nonce': 'n' } } : nonceRefusal('n'),
      )
      const call = await start({ server, clock, manage, ring: dpopKeyRing(jwk, { clock }) })
      await call()
      isContent = false
      expect(await rejection(call())).toMatchObject({ code: 'proof_refused', error: 'use_dpop_nonce' })
      expect(seenBy(server).map(nonceOf)).toEqual([undefined, 'n'])
    })
  })
}
