import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, type HostileServer, tokenJson } from '../support/hostile-server.ts'

const MIB = 1024 * 1024

/** Tokens at its endpoint, and this at its well-known places. */
function describeAs(server: HostileServer, metadata: (required: object) => Answer): void {
  const required = { issuer: server.origin, token_endpoint: server.tokenEndpoint }
  server.answer = (request) => (request.url === '/token' ? tokenJson()(request) : metadata(required))
}

const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`
const texts = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `a${n % 10}`)

describe('A8.05 metadata that is large or deep', () => {
  const harmless: readonly { readonly name: string; readonly more: string }[] = [
    { name: '10,000 levels of nesting', more: `"x":${nested(10_000)}` },
    {
      name: 'a list of 100,000 algorithms',
      more: `"dpop_signing_alg_values_supported":${JSON.stringify(texts(100_000))}`,
    },
    {
      name: 'a list of 100,000 algorithms for assertions',
      more: `"token_endpoint_auth_signing_alg_values_supported":${JSON.stringify(texts(100_000))}`,
    },
    { name: 'lists where objects belong', more: '"mtls_endpoint_aliases":[[]],"jwks":[]' },
    {
      name: '50,000 members',
      more: texts(50_000)
        .map((_, n) => `"m${n}":0`)
        .join(','),
    },
    {
      name: 'a key set of 10,000 keys, which nobody asked for',
      more: `"jwks":{"keys":${JSON.stringify(texts(10_000).map((kid) => ({ kid, kty: 'EC' })))}}`,
    },
  ]
  test.for(harmless)(
    'A8.05 $name: what is needed is read, and a token is had',
    async ({ more }, { manage, server }) => {
      describeAs(server, (required) => ({ body: `${JSON.stringify(required).slice(0, -1)},${more}}` }))
      const tokens = manage({ tokenEndpoint: undefined, issuer: server.origin })
      expect((await tokens.getToken('api')).accessToken).toMatch(/^token-/)
    },
  )

  const refused: readonly { readonly name: string; readonly body: string; readonly code: string }[] = [
    { name: '100,000 levels of nesting, unclosed', body: '['.repeat(100_000), code: 'response_not_json' },
    { name: 'a list at the top', body: nested(100), code: 'response_not_json' },
    { name: 'a million and more bytes', body: `{"a":"${'a'.repeat(MIB)}"}`, code: 'response_too_large' },
  ]
  test.for(refused)('A8.05 $name: a typed error', async ({ body, code }, { manage, server }) => {
    describeAs(server, () => ({ body }))
    const error = await rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
    expect(error).toMatchObject({ name: 'TokenResponseError', code })
    expect(server.requests.every(({ method }) => method === 'GET')).toBe(true)
  })
})

describe('A8.06 bodies that grow when they are unpacked', () => {
  const zeros = Buffer.alloc(100 * MIB, ' ')
  const bombs = [
    { encoding: 'gzip', body: gzipSync(zeros) },
    { encoding: 'br', body: brotliCompressSync(zeros) },
    { encoding: 'deflate', body: deflateSync(zeros) },
    { encoding: 'gzip, gzip', body: gzipSync(gzipSync(zeros)) },
  ]
  test.for(bombs)(
    'F2.03 A8.06 metadata in $encoding is cut off at 1 MiB of what it unpacks to',
    async ({ encoding, body }, { manage, server }) => {
      describeAs(server, () => ({ headers: { 'content-encoding': encoding }, body }))
      const before = process.memoryUsage().arrayBuffers
      const error = await rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'response_too_large' })
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * MIB)
    },
  )

  test.for(bombs)('F2.03 A8.06 a token in $encoding likewise', async ({ encoding, body }, { manage, server }) => {
    server.answer = () => ({ headers: { 'content-encoding': encoding }, body })
    expect((await rejection(manage().getToken('api'))).code).toBe('response_too_large')
  })
})
