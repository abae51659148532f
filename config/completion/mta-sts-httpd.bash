# Completion of mta-sts-httpd for bash. Commands and options are taken from the help of the program
# that is completed, so that they are always its own; domains from its configuration, if it can be read.

# The commands, one a line.
_mta_sts_httpd_commands() {
    local line
    "$1" --help 2>/dev/null | while IFS= read -r line; do
        [[ $line =~ ^\ \ ([a-z]+)\  ]] && printf '%s\n' "${BASH_REMATCH[1]}"
    done
}

# What the command $2 takes: lines of an option and the kind of its value, and "operands" and theirs.
_mta_sts_httpd_takes() {
    local line
    "$1" "$2" --help 2>/dev/null | while IFS= read -r line; do
        if [[ $line =~ ^\ \ (-(.),\ |\ \ \ \ )(--[-a-z]+)(\ ([A-Z]+))?\ \  ]]; then
            printf '%s %s\n' "${BASH_REMATCH[3]}" "${BASH_REMATCH[5]}"
            [[ -n ${BASH_REMATCH[2]} ]] &&
                printf -- '-%s %s\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[5]}"
        elif [[ $line =~ ^Usage:\ .*\ \[OPTION\.\.\.\]\ (.+)$ ]]; then
            printf 'operands %s\n' "${BASH_REMATCH[1]}"
        fi
    done
}

# The configured domains that begin with $2; $3 is the configuration, or empty.
_mta_sts_httpd_domains() {
    local domain rest
    timeout 2 "$1" list ${3:+-c "$3"} "$2*" 2>/dev/null | while read -r domain rest; do
        [[ $domain == *.* ]] && printf '%s\n' "$domain"
    done
}

# Sets COMPREPLY to what is of the kind and begins with $word.
_mta_sts_httpd_values() {
    local words=
    case $1 in
    FORMAT) words='zone nsupdate json' ;;
    COLUMN) words='domain state mode max_age id expires' ;;
    STATE) words='served stale refused no-certificate' ;;
    CMD) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
    *FILE*) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    PATH) _mta_sts_httpd_values FILE ;;
    *DOMAIN*)
        mapfile -t COMPREPLY < <(_mta_sts_httpd_domains "$program" "$word" "$config")
        ;;
    esac
    [[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

_mta_sts_httpd() {
    local program=${1/#\~\//"$HOME/"} word=$2 config='' option i name kind
    local at=$((COMP_CWORD - 1)) command=${COMP_WORDS[1]}
    local -A takes=()
    COMPREPLY=()
    if ((COMP_CWORD == 1)) || { ((COMP_CWORD == 2)) && [[ $command == help ]]; }; then
        name="help $(_mta_sts_httpd_commands "$program")"
        [[ $word == -* ]] && name='--help --version'
        mapfile -t COMPREPLY < <(compgen -W "$name" -- "$word")
        return
    fi

    # bash makes three words of "--format=json".
    if [[ $word == = ]]; then
        word=
    elif [[ ${COMP_WORDS[at]} == = ]]; then
        ((at--))
    fi
    option=${COMP_WORDS[at]}
    for ((i = 2; i < at; i++)); do
        if [[ ${COMP_WORDS[i]} == -c || ${COMP_WORDS[i]} == --config ]]; then
            config=${COMP_WORDS[i + 1]}
            [[ $config == = ]] && config=${COMP_WORDS[i + 2]}
        fi
    done
    config=${config//[\"\'\\]/}
    config=${config/#\~\//"$HOME/"}

    while read -r name kind; do
        takes[$name]=$kind
    done < <(_mta_sts_httpd_takes "$program" "$command")
    if [[ -n ${takes[$option]} ]]; then
        _mta_sts_httpd_values "${takes[$option]}"
    elif [[ $word == -* ]]; then
        unset 'takes[operands]'
        mapfile -t COMPREPLY < <(compgen -W "${!takes[*]}" -- "$word")
    else
        _mta_sts_httpd_values "${takes[operands]}"
    fi
}

complete -F _mta_sts_httpd mta-sts-httpd
