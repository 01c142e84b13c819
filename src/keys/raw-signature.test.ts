import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { rawSignatureFromDer } from 'evertoken/keys'
import { assert, constantFrom, property, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'

const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe('rawSignatureFromDer', () => {
  for (const alg of ['ES256', 'ES384', 'ES512'] as const) {
    it(`gives what a JWS holds, for ${alg}`, () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: CURVES[alg] })
      const hash = `sha${alg.slice(2)}`
      // Often enough for integers with leading zeros and with a sign byte.
      for (let n = 0; n < 300; n++) {
        const input = Buffer.from(`input ${n}`)
        const raw = rawSignatureFromDer(sign(hash, input, privateKey), alg)
        expect(verify(hash, input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw)).toBe(true)
      }
    })
  }

  it('takes small integers', () => {
    const raw = rawSignatureFromDer(bytes(0x30, 6, 2, 1, 1, 2, 1, 0x7f), 'ES256')
    expect([raw.length, raw[31], raw[63]]).toEqual([64, 1, 0x7f])
    expect(raw.reduce((sum, byte) => sum + byte, 0)).toBe(1 + 0x7f)
  })

  const wrong = [
    { name: 'nothing', der: bytes() },
    { name: 'another tag', der: bytes(0x31, 6, 2, 1, 1, 2, 1, 1) },
    { name: 'bytes after the sequence', der: bytes(0x30, 6, 2, 1, 1, 2, 1, 1, 0) },
    { name: 'bytes after the integers', der: bytes(0x30, 8, 2, 1, 1, 2, 1, 1, 5, 0) },
    { name: 'one integer', der: bytes(0x30, 3, 2, 1, 1) },
    { name: 'a length beyond the end', der: bytes(0x30, 7, 2, 1, 1, 2, 1, 1) },
    { name: 'an indefinite length', der: bytes(0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0) },
    { name: 'a long form that could be short', der: bytes(0x30, 0x81, 6, 2, 1, 1, 2, 1, 1) },
    { name: 'a negative integer', der: bytes(0x30, 6, 2, 1, 0x80, 2, 1, 1) },
    { name: 'a padded integer', der: bytes(0x30, 7, 2, 2, 0, 1, 2, 1, 1) },
    { name: 'an empty integer', der: bytes(0x30, 5, 2, 0, 2, 1, 1) },
    { name: 'an integer that is too large', der: bytes(0x30, 38, 2, 33, 1, ...Array(32).fill(0), 2, 1, 1) },
    { name: 'a raw signature', der: new Uint8Array(64).fill(7) },
  ]
  it.each(wrong)('refuses $name', ({ der }) => {
    expect(() => rawSignatureFromDer(der, 'ES256')).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', code: 'signature_invalid' }),
    )
  })

  it('refuses or converts any bytes, and throws nothing else', () => {
    assert(
      property(uint8Array({ maxLength: 150 }), constantFrom('ES256', 'ES384', 'ES512'), (der, alg) => {
        try {
          return rawSignatureFromDer(der, alg as 'ES256').length > 0
        } catch (error) {
          return Object(error).code === 'signature_invalid'
        }
      }),
    )
  })
})
