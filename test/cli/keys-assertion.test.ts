import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect } from 'vitest'
import { expectNoCanary } from '../support/canaries.ts'
import { testKey } from '../support/keys.ts'
import { root } from '../support/manifest.ts'
import { type Run, run, test } from './program.ts'

const SECRET = 'a-client-secret-of-some-length-0123456789'
const CONFIG = `
  import { readFileSync } from 'node:fs'
  import { clientAssertion, clientSecretBasic, clientSecretJwt, none, privateKeyJwt } from 'evertoken'
  const pem = readFileSync(new URL('key.pem', import.meta.url), 'utf8')
  const issuer = 'https://sts.example'
  const tokenEndpoint = 'https://sts.example/token'
  const authentication = privateKeyJwt(pem, { kid: 'k1' })
  const key = (options) => privateKeyJwt(pem, options)
  const throwing = () => { throw new Error('${SECRET}') }
  export default {
    clients: {
      discovered: { issuer, clientId: 'ff8a', authentication },
      configured: { issuer, tokenEndpoint, clientId: 'ff8a', authentication },
      older: { tokenEndpoint, clientId: 'ff8a', authentication: key({ audience: 'token_endpoint', typ: 'JWT' }) },
      lost: { issuer, clientId: 'ff8a', authentication: key({ audience: 'token_endpoint' }) },
      shared: { issuer, clientId: 'ff8a', authentication: clientSecretJwt('${SECRET}') },
      central: { issuer, clientId: 'ff8a', authentication: clientSecretBasic('${SECRET}') },
      saml: { issuer, clientId: 'ff8a', authentication: clientAssertion({ type: 'urn:saml', value: '${SECRET}' }) },
      basic: { issuer, clientId: 'ff8a', authentication: clientSecretBasic('${SECRET}') },
      public: { issuer, clientId: 'ff8a', authentication: none() },
      failing: { issuer, clientId: 'ff8a', authentication: clientSecretBasic(throwing) },
    },
    async clientAssertion({ clientName, clientId, issuer, request }) {
      if (clientName !== 'central') return undefined
      const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
      const value = part({ alg: 'custom' }) + '.' + part({ iss: clientId, aud: issuer, request }) + '.c2lnbmF0dXJl'
      return { type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', value }
    },
  }
`
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

let pem: string
beforeAll(async () => {
  ;({ pem } = await testKey('ES256'))
})

/** An application that has the package installed, its configuration and its key. */
function application(folder: string, config: string = CONFIG, name = 'evertoken.config.mjs'): void {
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/evertoken'))
  writeFileSync(join(folder, 'key.pem'), pem)
  writeFileSync(join(folder, name), config)
}

const preview = (folder: string, ...args: readonly string[]): Promise<Run> => run(folder, 'keys', 'assertion', ...args)

describe('keys assertion', () => {
  const header = { alg: 'ES256', typ: 'client-authentication+jwt', kid: 'k1' }
  const clients = [
    { client: 'discovered', expected: { header, claims: { iss: 'ff8a', sub: 'ff8a', aud: 'https://sts.example' } } },
    { client: 'configured', expected: { header, claims: { iss: 'ff8a', sub: 'ff8a', aud: 'https://sts.example' } } },
    {
      client: 'older',
      expected: { header: { alg: 'ES256', typ: 'JWT' }, claims: { aud: 'https://sts.example/token' } },
    },
    { client: 'shared', expected: { header: { alg: 'HS256' }, claims: { aud: 'https://sts.example' } } },
    { client: 'central', expected: { header: { alg: 'custom' }, claims: { aud: 'https://sts.example', request: {} } } },
  ]
  test.for(clients)('shows what the assertion of "$client" says', async ({ client, expected }, { folder }) => {
    application(folder)
    const { code, stdout, stderr } = await preview(folder, client)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const shown = JSON.parse(stdout)
    expect(Object.keys(shown)).toEqual(['client_assertion_type', 'header', 'claims'])
    expect(shown).toMatchObject({ client_assertion_type: JWT_BEARER, ...expected })
  })

  test('A10.04 shows neither the assertion nor its signature', async ({ folder }) => {
    application(folder)
    const { stdout, stderr } = await preview(folder, 'central')
    expect(stdout + stderr).not.toMatch(/c2lnbmF0dXJl|eyJ/)
    const own = await preview(folder, 'discovered')
    // An identifier of 128 bits has 22 characters; a signature has 86.
    expect(own.stdout).not.toMatch(/eyJ|[\w-]{40}/)
  })

  const failures = [
    {
      client: 'basic',
      says: /client "basic": expected an authentication that sends a client assertion, got client_secret_basic/,
    },
    { client: 'public', says: /got none \(client_assertion_missing\)/ },
    {
      client: 'saml',
      says: /expected its client assertion to be a JWT, got another kind \(client_assertion_missing\)/,
    },
    { client: 'lost', says: /expected a tokenEndpoint, which its assertion is addressed to, got none/ },
    {
      client: 'failing',
      says: /expected its client authentication to work, got an error \(client_authentication_failed\)/,
    },
    { client: 'nobody', says: /expected a client out of discovered, .+, got "nobody" \(client_unknown\)/ },
    { client: 'toString', says: /got "toString" \(client_unknown\)/ },
  ]
  test.for(failures)('says why there is none to show for "$client"', async ({ client, says }, { folder }) => {
    application(folder)
    const { code, stdout, stderr } = await preview(folder, client)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(says)
    expectNoCanary([stderr], [SECRET])
  })

  test('has no option for another audience', async ({ folder }) => {
    application(folder)
    const { code, stderr } = await preview(folder, 'discovered', '--audience', 'https://elsewhere.example')
    expect(code).toBe(2)
    expect(stderr).toMatch(/options out of --config, --help, got "--audience"/)
  })

  test('asks no server, and makes no file', async ({ folder, server }) => {
    const config = CONFIG.replaceAll('https://sts.example', server.origin)
    application(folder, config)
    const before = readdirSync(folder)
    expect((await preview(folder, 'discovered')).code).toBe(0)
    expect(server.requests).toEqual([])
    expect(readdirSync(folder)).toEqual(before)
  })
})

describe('the configuration', () => {
  const places = [
    { name: 'evertoken.config.mjs', args: [] },
    { name: 'evertoken.config.js', args: [] },
    { name: 'other.mjs', args: ['--config', 'other.mjs'] },
  ]
  test.for(places)('is found in $name', async ({ name, args }, { folder }) => {
    application(folder, CONFIG, name)
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    expect(await preview(folder, 'discovered', ...args)).toMatchObject({ code: 0, stderr: '' })
  })

  test('in a module that is .js comes first', async ({ folder }) => {
    application(folder, 'export default 1')
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(folder, 'evertoken.config.js'), CONFIG)
    expect((await preview(folder, 'discovered')).code).toBe(0)
  })

  const faulty = [
    {
      name: 'throws',
      config: `throw new Error('${SECRET}')`,
      says: /to load as an ES module, got Error \(config_invalid\)/,
    },
    { name: 'throws no error', config: `throw '${SECRET}'`, says: /to load as an ES module, got something else/ },
    { name: 'is no JavaScript', config: `const ${SECRET}`, says: /to load as an ES module, got SyntaxError/ },
    { name: 'imports what is not there', config: `import '${SECRET}'`, says: /got Error ERR_MODULE_NOT_FOUND/ },
    {
      name: 'has no default export',
      config: `export const a = '${SECRET}'`,
      says: /to export options as its default, got undefined/,
    },
    {
      name: 'exports no options',
      config: `export default '${SECRET}'`,
      says: /to export options as its default, got a string/,
    },
    {
      name: 'has no clients',
      config: 'export default {}',
      says: /clients to be an object, got undefined \(option_invalid\)/,
    },
    { name: 'has an unknown option', config: 'export default { clients: {}, x: 1 }', says: /\(option_unknown\)/ },
    {
      name: 'has a key that is none',
      config: CONFIG.replace('privateKeyJwt(pem,', `privateKeyJwt('${SECRET}',`),
      says: /got a string that is not PEM \(key_invalid\)/,
    },
  ]
  test.for(faulty)('that $name is named, without its content', async ({ config, says }, { folder }) => {
    application(folder, config)
    const { code, stdout, stderr } = await preview(folder, 'discovered')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(says)
    expectNoCanary([stderr], [SECRET])
  })

  test('that is not there is named', async ({ folder }) => {
    application(folder)
    rmSync(join(folder, 'evertoken.config.mjs'))
    const { code, stderr } = await preview(folder, 'discovered')
    expect(code).toBe(1)
    expect(stderr).toMatch(/expected "\S+evertoken.config.js" to exist, got nothing of that name \(config_invalid\)/)
  })

  test('may leave a timer running', async ({ folder }) => {
    application(folder, `setInterval(() => {}, 1000)\n${CONFIG}`)
    expect((await preview(folder, 'discovered')).code).toBe(0)
  })
})
