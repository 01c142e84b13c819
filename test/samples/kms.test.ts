import { createHash } from 'node:crypto'
import { createTokenManager, privateKeyJwt, type Signer } from 'evertoken'
import { describe, expect } from 'vitest'
import { expectNoCanary, plainCanary } from '../support/canaries.ts'
import { test as base, rejection } from '../support/fixtures.ts'
import type { SigningAlg } from '../support/keys.ts'
import { awsKms } from './kms/aws-kms.ts'
import { azureKeyVault } from './kms/azure-key-vault.ts'
import { googleCloudKms } from './kms/google-cloud-kms.ts'
import { hiddenKey } from './kms/hidden-key.ts'
import { type Kms, type Refusal, type StandIn, startKms } from './kms/stand-in.ts'
import { vaultTransit } from './kms/vault-transit.ts'

const secret = plainCanary('what the caller of the service presents')
const input = new TextEncoder().encode('header.claims')

interface Service extends StandIn {
  /** Makes the signer of the sample; what it signs, the service learns beforehand. */
  signer(): Promise<Signer>
}

const test = base.extend<{ readonly start: (kms: Kms, alg?: SigningAlg) => Promise<Service> }>({
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  start: async ({}, use) => {
    const services: StandIn[] = []
    await use(async (kms, alg = 'ES256') => {
      const key = await hiddenKey(alg)
      const service = await startKms(kms, key)
      services.push(service)
      return {
        ...service,
        async signer() {
          const signer = await kms.signer(service.url, { alg, secret })
          const sign: Signer['sign'] = (data, options) => {
            key.learn(data)
            return signer.sign(data, options)
          }
          return { ...signer, sign }
        },
      }
    })
    await Promise.all(services.map((service) => service.close()))
  },
})

describe.each([awsKms, googleCloudKms, azureKeyVault, vaultTransit])('a signer on $name', (kms) => {
  test.for(kms.algs)(
    '%s: authenticates a client, with one signature for a token and none for a token in memory',
    async (alg, { start, startProvider }) => {
      const service = await start(kms, alg)
      const signer = await service.signer()
      const provider = await startProvider({
        clients: [
          {
            client_id: 'machine',
            token_endpoint_auth_method: 'private_key_jwt',
            token_endpoint_auth_signing_alg: alg,
            jwks: { keys: [{ ...signer.publicJwk, alg, kid: signer.kid }] },
          },
        ],
        resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } },
      })
      const tokens = createTokenManager({
        clients: { api: { issuer: provider.issuer, clientId: 'machine', authentication: privateKeyJwt(signer) } },
      })
      await tokens.getToken('api')
      await tokens.getToken('api')
      expect(provider.assertions.map(({ header }) => header)).toEqual([
        { alg, typ: 'client-authentication+jwt', kid: 'k1' },
      ])
      expect(service.requests.filter(kms.isSigning)).toHaveLength(1)
      expect(service.requests).toHaveLength(2)
      await tokens.close()
    },
  )

  test.for(kms.algs)('%s: asks for a signature as the service documents it', async (alg, { start }) => {
    const service = await start(kms, alg)
    await (await service.signer()).sign(input)
    const { headers, ...request } = service.requests.at(-1) ?? {}
    const digest = createHash(`sha${alg.slice(2)}`)
      .update(input)
      .digest()
    expect(request).toEqual(kms.signing(digest, alg))
  })

  const refusals: readonly { readonly kind: Refusal; readonly expected: object }[] = [
    { kind: 'throttled', expected: { name: 'TransportError', code: 'signer_failed', retryable: true } },
    { kind: 'unavailable', expected: { name: 'TransportError', code: 'signer_failed', retryable: true } },
    { kind: 'denied', expected: { name: 'ConfigurationError', code: 'signer_refused', retryable: false } },
  ]
  test.for(refusals)(
    'F9.10 $kind: a typed error at creation and at signing, without what the service was sent',
    async ({ kind, expected }, { start }) => {
      const service = await start(kms)
      const signer = await service.signer()
      service.meddle(() => kms.refusal(kind, secret))
      for (const error of [await rejection(service.signer()), await rejection(Promise.resolve(signer.sign(input)))]) {
        expect(error).toMatchObject(expected)
        expectNoCanary([error], [secret])
      }
    },
  )

  test('F9.10 while the service throttles, the token in hand is served, and renewed as soon as that works', async ({
    start,
    manage,
    clock,
    recorder,
  }) => {
    const service = await start(kms)
    const authentication = privateKeyJwt(await service.signer())
    const tokens = manage({ issuer: 'https://as.example', authentication })
    await tokens.getToken('api')
    service.meddle(() => kms.refusal('throttled', secret))
    await clock.advance(59 * 60_000 + 50_000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    expect(recorder.events).toContainEqual({ name: 'renewal_failed', client: 'api', error: 'signer_failed' })
    service.meddle((answer) => answer)
    await clock.advance(1000)
    // The renewal goes on behind: nobody waits for it while a token is in hand.
    await expect.poll(async () => (await tokens.getToken('api')).accessToken, { interval: 1 }).toBe('token-2')
    expect(service.requests.filter(kms.isSigning)).toHaveLength(3)
  })

  test('F9.10 a service that is down is a typed error that may pass', async ({ start }) => {
    const service = await start(kms)
    const signer = await service.signer()
    await service.close()
    expect(await rejection(Promise.resolve(signer.sign(input)))).toMatchObject({
      code: 'signer_failed',
      retryable: true,
    })
  })

  test('F9.10 a service that is slow is given up with the reason of the signal', async ({ start }) => {
    const service = await start(kms)
    const signer = await service.signer()
    service.meddle(() => 'silence')
    const controller = new AbortController()
    const refused = rejection(Promise.resolve(signer.sign(input, { signal: controller.signal })))
    await service.silent
    const reason = new Error('no more time')
    controller.abort(reason)
    expect(await refused).toBe(reason)
  })

  const invalid = { code: 'signer_answer_invalid', retryable: false }
  test.for(kms.wrong)('F9.10 $name: a typed error, and nothing is passed on', async ({ change }, { start }) => {
    const service = await start(kms)
    const signer = await service.signer()
    service.meddle(({ status, body }) => ({ status, body: change(Object(body)) }))
    expect(await rejection(Promise.resolve(signer.sign(input)))).toMatchObject(invalid)
  })

  test('F9.10 an answer that is not JSON is a typed error', async ({ start }) => {
    const service = await start(kms)
    const signer = await service.signer()
    service.meddle(() => ({ status: 200, body: '<html>' }))
    expect(await rejection(Promise.resolve(signer.sign(input)))).toMatchObject(invalid)
  })

  test('follows no redirect, which would take what it presents to somebody else', async ({ start, elsewhere }) => {
    const service = await start(kms)
    const signer = await service.signer()
    service.meddle(() => ({ status: 307, body: '', location: elsewhere.tokenEndpoint }))
    const error = await rejection(Promise.resolve(signer.sign(input)))
    expect(error.code).toMatch(/^signer_(failed|refused)$/)
    expect(elsewhere.requests).toEqual([])
  })

  test.for(kms.wrongKeys)('F9.10 $name in place of the public key: a typed error', async ({ change }, { start }) => {
    const service = await start(kms)
    service.meddle(({ status, body }) => ({ status, body: change(Object(body)) }))
    expect(await rejection(service.signer())).toMatchObject(invalid)
  })

  test.for(kms.otherKeys)('refuses a key for $name when the signer is made', async ({ change }, { start }) => {
    const service = await start(kms)
    service.meddle(({ status, body }) => ({ status, body: change(Object(body)) }))
    expect(await rejection(service.signer())).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
  })
})

describe.each([awsKms, googleCloudKms])('a signer on $name', (kms) => {
  test('F9.10 a signature that is cut off is a typed error', async ({ start }) => {
    const service = await start(kms)
    const signer = await service.signer()
    service.meddle(({ status, body }) => {
      const { Signature, signature, ...rest } = Object(body)
      const cut = String(Signature ?? signature).slice(0, 40)
      return { status, body: Signature === undefined ? { ...rest, signature: cut } : { ...rest, Signature: cut } }
    })
    expect(await rejection(Promise.resolve(signer.sign(input)))).toMatchObject({ code: 'signature_invalid' })
  })
})
