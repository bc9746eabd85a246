import { ValidationError } from '../../kit/errors.ts';
import { text } from '../../kit/wire.ts';
import { defineContentGuard } from './define-content-guard.ts';
import { headerName } from './header.ts';

/** Lets those pass who send, in base64, what an environment variable of the server holds: the secret is not in the database. */
export const envVarHeaderGuard = defineContentGuard({
  endpoint: 'envvar_header',
  model: 'EnvVarHeaderContentGuard',
  title: ['env var header content guard', 'env var header content guards'],
  description: "Lets requests pass that have a header with the value of one of the server's environment variables.",
  fields: {
    header_name: headerName,
    env_var: {
      wire: text(),
      required: true,
      column: 'd.env_var',
      description:
        'Environment variable of the server that holds the secret; one that `PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS` names. The header carries its value in base64.',
      resolve: (value, { request }) => {
        if (!request.services.config.PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS.includes(String(value))) {
          const message = `Environment variable '${value}' is not in ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS.`;
          throw new ValidationError({ env_var: [message] });
        }
        return { env_var: value };
      },
    },
  },
  detail: { table: 'envvar_header_content_guard', columns: ['header_name', 'env_var'] },
  hrefParameter: 'env_var_header_content_guard_href',
});
