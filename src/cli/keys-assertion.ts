import type { Command } from './command.ts'
import { CONFIG_FILES, loadConfig } from './config-file.ts'
import { jsonText } from './messages.ts'

/** `evertoken keys assertion`: what the client assertion of a client says. */
export const keysAssertion: Command = {
  name: 'keys assertion',
  summary: 'shows the header and the claims of the assertion that a client would send',
  usage: '<client> [options]',
  details: [
    'The configuration is an ES module whose default export is the options of createTokenManager.',
    'The assertion is made as for a token request, and never shown as a whole. Nothing is sent to the authorization server.',
  ],
  operands: [1, 1],
  options: [{ name: 'config', value: 'file', summary: `default: ${CONFIG_FILES.join(', then ')}` }],
  async run({ args: { operands, options }, cwd, signal, stdout }) {
    // Loaded here: the other commands have no use for the whole library.
    const [{ createTokenManager }, { previewAssertion }] = await Promise.all([
      import('../index.ts'),
      import('./assertion-preview.ts'),
    ])
    const config = await loadConfig(cwd, options.get('config'))
    // Finds every mistake of the configuration, and sends nothing.
    await createTokenManager(config).close()
    const [clientName = ''] = operands
    const { type, header, claims } = await previewAssertion(config, clientName, signal)
    stdout.write(jsonText({ client_assertion_type: type, header, claims }))
  },
}
