import { createPrivateKey } from 'node:crypto'
import { importJWK, jwtVerify, SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { createTestKey, SIGNING_ALGS, testKey } from './keys.ts'

for (const alg of SIGNING_ALGS) {
  test(`${alg}: every form is the same key`, async () => {
    const { jwk, publicJwk, pem, keyObject, publicKeyObject, cryptoKeyPair } = await testKey(alg)
    const forms = [await importJWK(jwk, alg), createPrivateKey(pem), keyObject, cryptoKeyPair.privateKey]
    for (const form of forms) {
      const jwt = await new SignJWT({ sub: 'machine' }).setProtectedHeader({ alg }).sign(form)
      for (const known of [await importJWK(publicJwk, alg), publicKeyObject, cryptoKeyPair.publicKey]) {
        expect((await jwtVerify(jwt, known)).payload.sub).toBe('machine')
      }
    }
    expect(publicJwk).not.toHaveProperty('d')
  })
}

test('a process has one key for an algorithm, and others on demand', async () => {
  const known = await testKey('ES256')
  expect(await testKey('ES256')).toBe(known)
  const other = await createTestKey('ES256', 'other')
  expect(other.jwk.kid).toBe('other')
  expect(other.publicJwk.x).not.toBe(known.publicJwk.x)
})
