import { clientSecretBasic, createTokenManager, type PrivateKey } from 'evertoken'
import { createProof, dpopKeyRing } from 'evertoken/dpop'
import { jwkThumbprint, signerFrom } from 'evertoken/keys'
import { nodeSigner, type Pkcs11Signer, pkcs11Signer } from 'evertoken/node'
import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type AuthorizationServer, startAuthorizationServer } from '../../demo/authorization-server.ts'
import { createDPoPCheck, type DPoPCheck } from '../../demo/dpop-check.ts'
import { nonces } from '../../demo/nonce-policy.ts'
import { type ResourceServer, startResourceServer } from '../../demo/resource-server.ts'
import { SIGNING_ALGS, type TestKey, testKey } from '../support/keys.ts'
import { createSoftHsm, type SoftHsm, softHsmLibrary } from '../support/soft-hsm.ts'
import { verifyProof } from '../support/verify-proof.ts'

const SECRET = 'a-long-enough-secret'

interface Form {
  readonly name: string
  readonly key: (key: TestKey) => Parameters<typeof used>[0] | Promise<PrivateKey>
  /** Whether it tells its algorithm; RSA keys that do not sign with RS256. */
  readonly isSilent?: boolean
}
const FORMS: readonly Form[] = [
  { name: 'PEM', key: ({ pem }) => pem, isSilent: true },
  { name: 'JWK', key: ({ jwk }) => jwk },
  { name: 'KeyObject', key: ({ keyObject }) => keyObject, isSilent: true },
  { name: 'CryptoKeyPair', key: ({ cryptoKeyPair }) => cryptoKeyPair },
  { name: 'nodeSigner', key: ({ keyObject, alg }) => nodeSigner(keyObject, { alg }) },
  { name: 'signerFrom', key: ({ pem, alg }) => signerFrom(pem, { alg }) },
  {
    name: 'function',
    key:
      ({ jwk }) =>
      async () =>
        jwk,
  },
  { name: 'dpopKeyRing', key: ({ jwk }) => dpopKeyRing(jwk) },
]
const ROWS = SIGNING_ALGS.flatMap((alg) =>
  FORMS.map((form) => ({ alg, ...form, signsWith: form.isSilent && /^[RP]S/.test(alg) ? 'RS256' : alg })),
)

let server: AuthorizationServer
let api: ResourceServer
let check: DPoPCheck

beforeAll(async () => {
  server = await startAuthorizationServer({
    clients: [{ client_id: 'machine', client_secret: SECRET, dpop_bound_access_tokens: true }],
    resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60, alg: 'ES256' } },
    requireDPoPNonce: true,
  })
  check = createDPoPCheck({ nonces: nonces() })
  api = await startResourceServer({ issuer: server.issuer, audience: 'urn:api', scope: 'read', dpop: check })
})
afterAll(async () => {
  await api.close()
  await server.close()
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** What a client with a key gets done, once: a token, and a request with it. */
async function used(dpop: NonNullable<Parameters<typeof createTokenManager>[0]['clients'][string]['dpop']>) {
  const authentication = clientSecretBasic(SECRET)
  const tokens = createTokenManager({
    clients: { api: { issuer: server.issuer, clientId: 'machine', authentication, scope: 'read', dpop } },
  })
  const token = await tokens.getToken('api')
  const { status } = await tokens.fetch('api', { baseUrl: api.url })('items')
  await tokens.close()
  return { token, status, proof: check.record.proofs.at(-1) }
}

const PATHS = [
  { path: 'on Node', hasNodeCrypto: true },
  { path: 'with Web Cryptography alone', hasNodeCrypto: false },
]

describe.each(PATHS)('N12.01 keys for proofs $path', ({ hasNodeCrypto }) => {
  it.each(ROWS)(
    '$alg from $name: a real server binds a token to it, and an API takes its proofs',
    async ({ alg, key, signsWith }) => {
      const test = await testKey(alg)
      const getBuiltinModule = vi.spyOn(process, 'getBuiltinModule')
      if (!hasNodeCrypto) getBuiltinModule.mockReturnValue(undefined)
      const { token, status, proof } = await used(await key(test))
      expect(status).toBe(200)
      const jkt = await jwkThumbprint(test.publicJwk)
      expect(token).toMatchObject({ tokenType: 'DPoP', jkt })
      expect(decodeJwt(token.accessToken).cnf).toEqual({ jkt })
      expect(proof).toMatchObject({ outcome: 'accepted', jkt, header: { typ: 'dpop+jwt', alg: signsWith } })
      const { kty, crv, x, y, n, e } = test.publicJwk
      expect(proof?.header).toEqual({ typ: 'dpop+jwt', alg: signsWith, jwk: { kty, crv, x, y, n, e } })
      // The faster way was looked for, and taken where it was there.
      expect(getBuiltinModule).toHaveBeenCalledWith('node:crypto')
    },
  )

  it('Ed25519 under its later name: a real server binds a token to it, and an API takes its proofs', async () => {
    if (!hasNodeCrypto) vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
    const { jwk, publicJwk } = await testKey('EdDSA')
    const { token, status, proof } = await used({ ...jwk, alg: 'Ed25519' })
    expect([status, token.jkt]).toEqual([200, await jwkThumbprint(publicJwk)])
    expect(proof).toMatchObject({ outcome: 'accepted', header: { alg: 'Ed25519' } })
  })

  it('the key of `true` is ES256, another one for each client, and lives as long as the manager', async () => {
    const getBuiltinModule = vi.spyOn(process, 'getBuiltinModule')
    if (!hasNodeCrypto) getBuiltinModule.mockReturnValue(undefined)
    const [one, other] = [await used(true), await used(true)]
    expect([one.status, other.status]).toEqual([200, 200])
    expect(one.proof).toMatchObject({ jkt: one.token.jkt, header: { alg: 'ES256' } })
    expect(one.token.jkt).not.toBe(other.token.jkt)
  })

  it.each(SIGNING_ALGS.map((alg) => ({ alg })))(
    '$alg: a proof that is made by hand verifies, with and without a token',
    async ({ alg }) => {
      if (!hasNodeCrypto) vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined)
      const { jwk, publicJwk } = await testKey(alg)
      const target = { method: 'GET', url: 'https://api.example/items?page=1#top' }
      const bare = verifyProof(await createProof(jwk, target), target)
      const withToken = { ...target, accessToken: 'token' }
      const { jkt, claims } = verifyProof(
        await createProof(jwk, { ...withToken, nonce: 'n1', claims: { txn: 7 } }),
        withToken,
      )
      expect([bare.jkt, jkt]).toEqual(Array(2).fill(await jwkThumbprint(publicJwk)))
      expect(claims).toMatchObject({ nonce: 'n1', txn: 7 })
      expect(bare.claims).not.toHaveProperty('ath')
    },
  )
})

const isMissing = softHsmLibrary === undefined && process.env.CI === undefined
const title = isMissing ? 'keys in an HSM (skipped: SoftHSM is not installed, see test/setup.sh)' : 'keys in an HSM'

describe.skipIf(isMissing)(title, () => {
  let hsm: SoftHsm
  const signers: Pkcs11Signer[] = []
  beforeAll(() => {
    hsm = createSoftHsm([
      { label: 'rsa', id: '01', kind: 'RSA' },
      { label: 'ec256', id: '02', kind: 'P-256' },
      { label: 'ec384', id: '03', kind: 'P-384' },
      { label: 'ec521', id: '04', kind: 'P-521' },
    ])
  })
  afterEach(async () => {
    for (const signer of signers.splice(0)) await signer.close()
  })
  afterAll(() => hsm.remove())
  async function open(alg: string, keyLabel: string): Promise<Pkcs11Signer> {
    const { library, tokenLabel, pin } = hsm
    const signer = await pkcs11Signer({ library, tokenLabel, pin, keyLabel, alg })
    signers.push(signer)
    return signer
  }

  it.each([
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg) => ({ alg, keyLabel: 'rsa' })),
    { alg: 'ES256', keyLabel: 'ec256' },
    { alg: 'ES384', keyLabel: 'ec384' },
    { alg: 'ES512', keyLabel: 'ec521' },
  ])('N12.01 $alg: a real server binds a token to it, and an API takes its proofs', async ({ alg, keyLabel }) => {
    const signer = await open(alg, keyLabel)
    const { token, status, proof } = await used(signer)
    const jkt = await jwkThumbprint(signer.publicJwk)
    expect(status).toBe(200)
    expect(token).toMatchObject({ tokenType: 'DPoP', jkt })
    expect(proof).toMatchObject({ outcome: 'accepted', jkt, header: { alg } })
  })

  it('F9.10 many requests at once get a proof each', async () => {
    const signer = await open('ES256', 'ec256')
    const target = { method: 'GET', url: 'https://api.example/' }
    const proofs = await Promise.all(Array.from({ length: 50 }, () => createProof(signer, target)))
    const jtis = proofs.map((proof) => verifyProof(proof, target).claims.jti)
    expect(new Set(jtis).size).toBe(50)
  })
})
