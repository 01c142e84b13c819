import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ClientDefinitions, TokenManagerOptions } from '../client/index.ts'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { describe } from '../util/index.ts'
import { kindOf } from './messages.ts'

/** Where the configuration is looked for when no option says so. */
export const CONFIG_FILES = ['evertoken.config.js', 'evertoken.config.mjs'] as const

/**
 * Loads the application's own configuration: an ES module whose default export is the options of `createTokenManager`. The options are
 * not checked yet.
 *
 * @throws ConfigurationError with code `config_invalid`, or whatever error of this package the module throws.
 */
export async function loadConfig(
  cwd: string,
  given: string | undefined,
): Promise<TokenManagerOptions<ClientDefinitions>> {
  const path = resolve(cwd, given ?? CONFIG_FILES.find((file) => existsSync(resolve(cwd, file))) ?? CONFIG_FILES[0])
  if (!existsSync(path)) throw configInvalid(`expected "${path}" to exist, got nothing of that name`)
  const module = await load(path)
  const options: unknown = module.default
  if (typeof options !== 'object' || options === null) {
    throw configInvalid(`expected "${path}" to export options as its default, got ${describe(options)}`)
  }
  // Checked in full by createTokenManager.
  return options as TokenManagerOptions<ClientDefinitions>
}

async function load(path: string): Promise<{ readonly default?: unknown }> {
  try {
    return await import(pathToFileURL(path).href)
  } catch (error) {
    if (isEvertokenError(error)) throw error
    // Neither message nor cause: they are the application's, and may hold its secrets.
    throw configInvalid(`expected "${path}" to load as an ES module, got ${kindOf(error)}`)
  }
}

function configInvalid(message: string): ConfigurationError {
  return new ConfigurationError(`configuration: ${message}`, { code: 'config_invalid' })
}
