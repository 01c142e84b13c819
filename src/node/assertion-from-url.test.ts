import { type AssertionUrlOptions, assertionFromUrl } from 'evertoken/node'
import { describe, expect, test } from 'vitest'

const SECRET = 'a-secret-that-no-message-repeats'

describe('the options of assertionFromUrl', () => {
  const allowed = [
    'https://issuer.example/token',
    'http://localhost:1/',
    'http://127.0.0.1/',
    'http://[::1]/',
    'http://169.254.169.254/metadata/identity/oauth2/token',
    'http://[fd00:ec2::254]/',
    'http://metadata.google.internal/computeMetadata/v1/',
  ]
  for (const url of allowed) test(`allow ${url}`, () => void expect(assertionFromUrl(url)).toBeTypeOf('function'))

  const faulty: readonly { readonly name: string; readonly url?: string; readonly options?: unknown }[] = [
    { name: 'http to anywhere', url: 'http://issuer.example/' },
    { name: 'http to a name that begins like the metadata server', url: 'http://metadata.google.internal.example/' },
    { name: 'http to a name that begins like an address', url: 'http://169.254.169.254.example/' },
    { name: 'http to a private address', url: 'http://10.0.0.1/' },
    { name: 'a user name and a password', url: `https://user:${SECRET}@issuer.example/` },
    { name: 'a password for the metadata server', url: `http://u:${SECRET}@169.254.169.254/` },
    { name: 'a file', url: 'file:///etc/passwd' },
    { name: 'a path', url: '/token' },
    { name: 'a header with a line break', options: { headers: { authorization: `Bearer ${SECRET}\r\nx: y` } } },
    { name: 'a deadline of zero', options: { deadlineMs: 0 } },
    { name: 'a deadline that is no number', options: { deadlineMs: '5' } },
    { name: 'a limit of zero', options: { maxBytes: 0 } },
    { name: 'an empty type', options: { type: '' } },
    { name: 'a fetch that is none', options: { fetch: SECRET } },
  ]
  for (const { name, url = 'https://issuer.example/', options = {} } of faulty) {
    test(`refuse ${name} at creation`, () => {
      const thrown = (() => {
        try {
          return assertionFromUrl(url, options as AssertionUrlOptions)
        } catch (error) {
          return error
        }
      })()
      expect(thrown).toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
      expect(String(thrown)).not.toContain(SECRET)
    })
  }
})
