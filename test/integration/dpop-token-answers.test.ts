import { dpopKeyRing } from 'evertoken/dpop'
import { signerFrom } from 'evertoken/keys'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { withMetadata } from '../support/handlers.ts'
import { type Answer, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey, SIGNING_ALGS, testKey } from '../support/keys.ts'
import { proofOf } from '../support/proofs.ts'

const nonceOf = (request: SeenRequest) => proofOf(request).claims.nonce
const bound = tokenJson({ token_type: 'DPoP' })

describe('D6 N12.05 what a server makes of a proof', () => {
  const types: readonly {
    readonly name: string
    readonly members: Readonly<Record<string, unknown>>
    readonly code: string
  }[] = [
    { name: 'Bearer', members: { token_type: 'Bearer' }, code: 'dpop_downgraded' },
    { name: 'bearer', members: { token_type: 'bearer' }, code: 'dpop_downgraded' },
    { name: 'BEARER', members: { token_type: 'BEARER' }, code: 'dpop_downgraded' },
    { name: 'MAC', members: { token_type: 'MAC' }, code: 'token_type_unsupported' },
    { name: 'N_A', members: { token_type: 'N_A' }, code: 'token_type_unsupported' },
    { name: 'DPoP with a space', members: { token_type: 'DPoP ' }, code: 'token_type_unsupported' },
    { name: 'nothing', members: { token_type: undefined }, code: 'token_response_invalid' },
    { name: 'a list', members: { token_type: ['DPoP'] }, code: 'token_response_invalid' },
  ]
  for (const { name, members, code } of types) {
    test(`N12.05 token_type ${name} is an error, and the token reaches neither memory nor store nor API`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = tokenJson(members)
      const kept = new Map<string, string>()
      const store = {
        get: (key: string) => kept.get(key),
        set: (key: string, value: string) => void kept.set(key, value),
        delete: (key: string) => void kept.delete(key),
      }
      const { jwk } = await testKey('ES256')
      const tokens = manage({ dpop: jwk }, { store })
      const error = await rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('x'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code, retryable: false })
      expect(error.message).not.toContain('token-1')
      expect([server.requests.length, elsewhere.requests.length, kept.size]).toEqual([1, 0, 0])
      expect(await rejection(tokens.getToken('api'))).toMatchObject({ code })
    })
  }

  for (const token_type of ['DPoP', 'dpop', 'DPOP', 'dPoP']) {
    test(`T7 N12.05 token_type ${token_type} is DPoP`, async ({ manage, server, elsewhere }) => {
      server.answer = tokenJson({ token_type })
      const tokens = manage({ dpop: true })
      await tokens.fetch('api', { baseUrl: elsewhere.origin })('x')
      expect(await tokens.getToken('api')).toMatchObject({ tokenType: 'DPoP', jkt: expect.any(String) })
      expect(elsewhere.requests[0]?.headers.authorization).toBe('DPoP token-1')
    })
  }

  test('N12.05 a client without a key does not take a token that is bound to one', async ({ manage, server }) => {
    server.answer = bound
    const error = await rejection(manage().getToken('api'))
    expect(error).toMatchObject({ name: 'TokenResponseError', code: 'token_type_unsupported' })
    expect(server.requests[0]?.headers).not.toHaveProperty('dpop')
  })
})

describe('N12.08 N12.09 whose nonce it is', () => {
  test('N12.08 a nonce that comes with a token is in the next token request', async ({ manage, server }) => {
    server.answer = (request) => ({ ...Object(bound(request)), headers: { 'dpop-nonce': `n-${request.n}` } })
    const tokens = manage({ dpop: true })
    for (let turn = 0; turn < 3; turn++) await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(nonceOf)).toEqual([undefined, 'n-1', 'n-2'])
  })

  const givers = [
    { name: 'both give nonces', as: 'of-as', rs: 'of-rs' },
    { name: 'only the authorization server gives one', as: 'of-as', rs: undefined },
    { name: 'only the API gives one', as: undefined, rs: 'of-rs' },
  ]
  for (const { name, as, rs } of givers) {
    test(`N12.09 authorization server and API on one origin keep theirs apart: ${name}`, async ({ manage, server }) => {
      const giving = (answer: Answer, nonce: string | undefined): Answer =>
        nonce === undefined ? answer : { ...Object(answer), headers: { 'dpop-nonce': nonce } }
      server.answer = (request) =>
        request.url === '/token' ? giving(bound(request) as Answer, as) : giving({ body: '{}' }, rs)
      const tokens = manage({ dpop: true })
      const call = tokens.fetch('api', { baseUrl: server.origin })
      for (let turn = 0; turn < 2; turn++) {
        await tokens.getToken('api', {}, { forceRenewal: true })
        await call('orders')
      }
      const seenBy = (path: string) => server.requests.filter(({ url }) => url === path).map(nonceOf)
      expect(seenBy('/token')).toEqual([undefined, as])
      expect(seenBy('/orders')).toEqual([undefined, rs])
    })
  }

  test('N12.09 the nonce of a key is not sent with the next key', async ({ manage, server, clock }) => {
    server.answer = (request) => ({ ...Object(bound(request)), headers: { 'dpop-nonce': `n-${request.n}` } })
    const ring = dpopKeyRing((await testKey('ES256')).jwk, { clock })
    const tokens = manage({ dpop: ring })
    await tokens.getToken('api')
    ring.rotate((await testKey('EdDSA')).jwk)
    for (let turn = 0; turn < 2; turn++) await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(nonceOf)).toEqual([undefined, undefined, 'n-2'])
  })
})

describe('D5 N12.14 algorithms that the server names', () => {
  for (const alg of SIGNING_ALGS) {
    test(`D5 ${alg} is used where the server names it, and nothing is sent where it does not`, async ({
      manage,
      server,
    }) => {
      const { pem } = await testKey(alg)
      const dpop = dpopKeyRing(await signerFrom(pem, { alg }))
      let named: readonly string[] = [alg]
      server.answer = (request) => withMetadata(bound, { dpop_signing_alg_values_supported: named })(request)
      const client = { issuer: server.origin, tokenEndpoint: undefined, dpop }
      await manage(client).getToken('api')
      expect(proofOf(server.requests.at(-1) as SeenRequest).header.alg).toBe(alg)

      named = SIGNING_ALGS.filter((other) => other !== alg)
      const error = await rejection(manage(client).getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'dpop_alg_unsupported', retryable: false })
      expect(error.message).toContain(alg)
      expect(server.requests.filter(({ url }) => url === '/token')).toHaveLength(1)
    })
  }

  const odd: readonly { readonly name: string; readonly list: unknown; readonly isTaken: boolean }[] = [
    { name: 'says nothing', list: undefined, isTaken: true },
    { name: 'names no list', list: 'ES256', isTaken: true },
    { name: 'names none', list: [], isTaken: false },
    { name: 'writes it in small letters', list: ['es256'], isTaken: false },
  ]
  for (const { name, list, isTaken } of odd) {
    test(`N12.14 a server that ${name}: ${isTaken ? 'the proof goes out' : 'nothing is sent'}`, async ({
      manage,
      server,
    }) => {
      const { jwk } = await createTestKey('ES256', 'dpop')
      server.answer = withMetadata(bound, { dpop_signing_alg_values_supported: list })
      const pending = manage({ issuer: server.origin, tokenEndpoint: undefined, dpop: jwk }).getToken('api')
      if (isTaken) await pending
      else expect(await rejection(pending)).toMatchObject({ code: 'dpop_alg_unsupported' })
      expect(server.requests.filter(({ url }) => url === '/token')).toHaveLength(isTaken ? 1 : 0)
    })
  }
})
