# An MCP server with one tool, `echo`. Messages are JSON, one a line.
while IFS= read -r line; do
    id=${line#*'"id":'}
    id=${id%%[,\}]*}
    case $line in
    *'"method":"initialize"'*)
        result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1.0.0"}}'
        ;;
    *'"method":"tools/list"'*)
        schema='{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}'
        result='{"tools":[{"name":"echo","description":"Says it again","inputSchema":'$schema'}]}'
        ;;
    *'"method":"tools/call"'*)
        message=$(printf '%s\n' "$line" | sed -E 's/.*"message":"(([^"\\]|\\.)*)".*/\1/')
        result='{"content":[{"type":"text","text":"'$message'"}]}'
        ;;
    *'"method":"ping"'*) result='{}' ;;
    *) continue ;;
    esac
    printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
