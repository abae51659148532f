#compdef mta-sts-httpd
# Completion of mta-sts-httpd for zsh. Commands and options are taken from the help of the program
# that is completed, so that they are always its own; domains from its configuration, if it can be read.

# The configured domains that begin with what is there.
_mta-sts-httpd-domains() {
    local -a domains
    local program=$1 config
    config=${opt_args[-c]:-${opt_args[--config]}}
    domains=(${${(M)${(f)"$(timeout 2 $program list ${config:+-c} ${config:+${(Q)~config}} \
        "$PREFIX*" 2>/dev/null)"}:#*.*}%% *})
    compadd -a domains
}

# What completes a value of the kind, in the words of _arguments.
_mta-sts-httpd-action() {
    case $1 in
    FORMAT) REPLY='(zone nsupdate json)' ;;
    COLUMN) REPLY='(domain state mode max_age id expires)' ;;
    STATE) REPLY='(served stale refused no-certificate)' ;;
    CMD) REPLY=_cmdstring ;;
    *FILE* | PATH) REPLY=_files ;;
    *DOMAIN*) REPLY="{_mta-sts-httpd-domains ${(q)program}}" ;;
    *) REPLY=' ' ;;
    esac
}

_mta-sts-httpd() {
    local program=${(Q)~words[1]} line text REPLY
    local -a match commands specs
    if ((CURRENT == 2)) || [[ CURRENT -eq 3 && $words[2] == help ]]; then
        for line in ${(f)"$($program --help 2>/dev/null)"}; do
            [[ $line =~ '^  ([a-z]+) +((\[?[A-Z][^ ]*) +)?(.*)$' ]] && commands+=("$match[1]:$match[4]")
        done
        commands+=('help:print how a command is used')
        _describe -t commands command commands
        [[ $PREFIX == -* ]] && compadd -- --help --version
        return
    fi
    for line in ${(f)"$($program $words[2] --help 2>/dev/null)"}; do
        if [[ $line =~ '^  (-(.), |    )(--[-a-z]+)( ([A-Z]+))? +(.*)$' ]]; then
            text="[${${match[6]//\[/\\[}//\]/\\]}]"
            if [[ -n $match[5] ]]; then
                _mta-sts-httpd-action $match[5]
                text+=":$match[5]:$REPLY"
            fi
            [[ -n $match[2] ]] && specs+=("(-$match[2] $match[3])-$match[2]$text")
            specs+=("(${match[2]:+-$match[2] }$match[3])$match[3]${match[5]:+=}$text")
        elif [[ $line =~ '^Usage: .* \[OPTION\.\.\.\] (.+)$' ]]; then
            text=$match[1]
            _mta-sts-httpd-action $text
            specs+=("*:${text//:/}:$REPLY")
        fi
    done
    words=("${(@)words[2,-1]}")
    ((CURRENT--))
    _arguments $specs
}

_mta-sts-httpd "$@"
